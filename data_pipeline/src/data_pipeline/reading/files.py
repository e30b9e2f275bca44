"""CSV, TSV and Parquet files as sources."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from data_pipeline.reading.source import CHUNK_ROWS, Source, arrived
from twinserve.errors import BadInput
from twinserve.table_file import ENDINGS, TableFile, is_table


def file_sources(path: Path) -> list[Source]:
    """The file, or every data file below the folder, in the order of their paths; hidden ones are passed over.

    Raises:
        BadInput: nothing there, or nothing that can be read.
    """
    if not path.exists():
        raise BadInput(f"no file or folder {path}", fix="Check --source")
    if path.is_file():
        return [_source(path)]
    files = [file for file in sorted(path.rglob("*")) if _is_data(file.relative_to(path)) and file.is_file()]
    if not files:
        raise BadInput(f"no data file in {path}", fix=f"Put files there that end in {', '.join(ENDINGS)}")
    return [_source(file) for file in files]


def _is_data(file: Path) -> bool:
    return is_table(file) and not any(part.startswith(".") for part in file.parts)


def _source(file: Path) -> Source:
    if not is_table(file):
        raise BadInput(f"{file} is of no known kind", fix=f"Its name must end in {', '.join(ENDINGS)}")
    return FileSource(file)


class FileSource:
    """See `Source` and `TableFile`."""

    ordered = True

    def __init__(self, file: Path) -> None:
        self.table, self.name = TableFile(file), str(file.absolute())

    def columns(self) -> list[str]:
        """See `Source`."""
        return [str(name) for name in self.table.schema().names]

    def rows(
        self, columns: list[str], arrival: str, since: datetime | None, until: datetime | None = None
    ) -> Iterator[pa.Table]:
        """See `Source`."""
        for batch in self.table.batches(columns, CHUNK_ROWS):
            yield arrived(pa.table(batch), arrival, since, until)
