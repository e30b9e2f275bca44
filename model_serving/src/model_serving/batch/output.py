"""The finished Parquet file of a run. What it was made from stands in its footer, so file and facts appear together."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from twinserve.errors import BadInput

FOOTER_KEY = b"twinserve"
COLUMNS = {
    "prediction": pa.float64(),  # null where the row was left out
    "reason": pa.string(),  # null where it was not; unknown, stale, null or no_score
    "model_name": pa.string(),
    "model_version": pa.string(),
}


class Finished(BaseModel):
    """The facts in the footer: nothing that differs between two runs of one key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_key: str
    input_digest: str
    model_name: str
    model_version: str
    rows: int
    predicted: int
    left_out: dict[str, int]

    @classmethod
    def read(cls, output: Path) -> Self | None:
        """The facts of a finished output, None if there is none yet.

        Raises:
            BadInput: something else lies there.
        """
        try:
            footer = pq.read_metadata(output).metadata or {}
            return cls.model_validate_json(footer.get(FOOTER_KEY, b""))
        except FileNotFoundError:
            return None
        except (pa.ArrowInvalid, ValidationError, OSError) as error:
            raise BadInput(
                f"{output} is no output of a batch run ({type(error).__name__})",
                fix="Move it away and run the command again, or take another run key",
            ) from None

    def footer(self) -> dict[str, str]:
        """The facts as Parquet key-value metadata."""
        return {FOOTER_KEY.decode(): self.model_dump_json()}


def output_schema(requests: pa.Schema) -> pa.Schema:
    """The input's columns, then ours; a data frame library's own notes on the input are dropped."""
    schema = pa.schema(list(requests), metadata=None)
    for name, kind in COLUMNS.items():
        schema = schema.append(pa.field(name, kind))
    return schema
