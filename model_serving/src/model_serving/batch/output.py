"""The finished output of a run: Parquet files in a folder. What they were made from stands in their footers.

<home>/predictions/<run key>/part-00000.parquet …     appears whole, by a rename of the folder
<home>/predictions/<run key>/predictions.parquet      what earlier releases wrote; counts as finished too
<home>/predictions/.<run key>.unfinished/             files that are done, of a run that is not
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from model_serving.batch.score_summary import ScoreSummary
from model_serving.batch.shards import shard_name
from model_serving.passed_as_nan import PassedSummary
from twinserve.errors import BadInput
from twinserve.steps.ledger import Ledger

FOOTER_KEY = b"twinserve"
EARLIER_NAME = "predictions.parquet"
COLUMNS = {
    "prediction": pa.float64(),  # null where the row was left out
    "reason": pa.string(),  # null where it was not; unknown, stale, null or no_score
    "passed_as_nan": pa.string(),  # `view: reason; …` of a scored row that lacks features; null where none is missing
    "model_name": pa.string(),
    "model_version": pa.string(),
}


class Source(BaseModel):
    """What one output file was made from, and which of how many it is.

    The numbers of shards are 0 and 1 where an earlier release wrote the file, which knew of one file only.

    Attributes:
        definitions: digest of what the join of the feature service went by; None where it could not be told, or an
            earlier release wrote the file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_key: str
    input_digest: str
    model_name: str
    model_version: str
    shard: int = 0
    shards: int = 1
    feature_service: str | None = None
    definitions: str | None = None


class Facts(Source):
    """What stands in a footer: nothing that differs between two runs of one key."""

    rows: int
    predicted: int
    left_out: dict[str, int]
    scores: ScoreSummary | None = None  # an earlier release did not keep them
    passed_as_nan: PassedSummary | None = None  # an earlier release did not count them

    def ledger(self, extracted: int) -> Ledger:
        """Where the rows that were extracted went: they have a score, or the reason why not."""
        return Ledger(extracted, {"predicted": self.predicted}, self.left_out)

    @classmethod
    def read(cls, file: Path) -> Self | None:
        """The facts of an output file, None if there is no such file.

        Raises:
            BadInput: something else lies there.
        """
        try:
            footer = pq.read_metadata(file).metadata or {}
            return cls.model_validate_json(footer.get(FOOTER_KEY, b""))
        except FileNotFoundError:
            return None
        except (pa.ArrowInvalid, ValidationError, OSError) as error:
            raise no_output(file, type(error).__name__) from None

    def footer(self) -> dict[str, str]:
        """The facts as Parquet key-value metadata."""
        return {FOOTER_KEY.decode(): self.model_dump_json()}

    def made_from(self, source: Source) -> bool:
        """Whether the file is the one that would be made from `source`."""
        return all(getattr(self, name) == value for name, value in source)


@dataclass(frozen=True)
class Finished:
    """The output of a finished run: the facts of its files, in order."""

    folder: Path
    files: tuple[Path, ...]
    facts: tuple[Facts, ...]

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """The finished output in this folder, None if there is none yet.

        Raises:
            BadInput: something else lies there, or a file of the output is missing or damaged.
        """
        if not folder.exists():
            return None
        if not folder.is_dir():
            raise no_output(folder, "a file")
        found = sorted(file for file in folder.iterdir() if not file.name.startswith("."))
        if not found:
            return None  # an earlier release made the folder before its file was done
        facts = tuple(filter(None, map(Facts.read, found)))
        expected = [EARLIER_NAME] if found[0].name == EARLIER_NAME else [shard_name(n) for n in range(facts[0].shards)]
        if [file.name for file in found] != expected:
            raise no_output(folder, f"it holds {', '.join(f.name for f in found)[:200]}, not {len(expected)} files")
        return cls(folder, tuple(found), facts)

    def only(self, shards: Iterable[int]) -> Finished:
        """These files alone."""
        chosen = list(shards)
        return Finished(self.folder, tuple(self.files[n] for n in chosen), tuple(self.facts[n] for n in chosen))

    @property
    def run_key(self) -> str:
        """Of the run that wrote it."""
        return self.facts[0].run_key

    @property
    def input_digest(self) -> str:
        """Of its input."""
        return self.facts[0].input_digest

    @property
    def model_name(self) -> str:
        """Of the model that scored it."""
        return self.facts[0].model_name

    @property
    def model_version(self) -> str:
        """Of the model that scored it."""
        return self.facts[0].model_version

    @property
    def feature_service(self) -> str | None:
        """Whose features were joined; None where an earlier release wrote it."""
        return self.facts[0].feature_service

    @property
    def definitions(self) -> str | None:
        """As in `Source`."""
        return self.facts[0].definitions

    @property
    def rows(self) -> int:
        """In all files."""
        return sum(part.rows for part in self.facts)

    @property
    def predicted(self) -> int:
        """Rows with a score, in all files."""
        return sum(part.predicted for part in self.facts)

    @property
    def left_out(self) -> dict[str, int]:
        """Rows without one, by reason."""
        return dict(sorted(sum((Counter(part.left_out) for part in self.facts), Counter()).items()))

    @property
    def passed_as_nan(self) -> PassedSummary | None:
        """Rows scored although features were missing; None where an earlier release wrote a file."""
        counts = [part.passed_as_nan for part in self.facts]
        known = [count for count in counts if count is not None]
        return reduce(PassedSummary.joined, known, PassedSummary()) if len(known) == len(counts) else None

    @property
    def scores(self) -> ScoreSummary:
        """Of all files."""
        return reduce(ScoreSummary.joined, (part.scores or ScoreSummary() for part in self.facts))


def no_output(path: Path, found: str) -> BadInput:
    """The error where something else lies in the place of an output."""
    return BadInput(
        f"{path} is no output of a batch run ({found})",
        fix="Move it away and run the command again, or take another run key",
    )


def output_schema(rows: pa.Schema) -> pa.Schema:
    """The input's columns, then ours; a data frame library's own notes on the input are dropped."""
    schema = pa.schema(list(rows), metadata=None)
    for name, kind in COLUMNS.items():
        schema = schema.append(pa.field(name, kind))
    return schema
