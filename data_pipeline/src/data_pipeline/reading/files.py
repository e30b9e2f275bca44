"""CSV, TSV and Parquet files as sources."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data_pipeline.reading.source import CHUNK_ROWS, Source, arrived
from twinserve.errors import BadInput
from twinserve.parquet_batches import parquet_batches
from twinserve.text_table import TextTable

TEXT_ENDINGS = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
ENDINGS = (*TEXT_ENDINGS, ".parquet")


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
    return file.name.endswith(ENDINGS) and not any(part.startswith(".") for part in file.parts)


def _source(file: Path) -> Source:
    if not file.name.endswith(ENDINGS):
        raise BadInput(f"{file} is of no known kind", fix=f"Its name must end in {', '.join(ENDINGS)}")
    return TextFile(file) if file.name.endswith(TEXT_ENDINGS) else ParquetFile(file)


class ParquetFile:
    """See `Source`."""

    def __init__(self, file: Path) -> None:
        self.file, self.name = file, str(file.absolute())

    def columns(self) -> list[str]:
        """See `Source`."""
        return [str(name) for name in self._open().schema_arrow.names]

    def rows(
        self, columns: list[str], arrival: str, since: datetime | None, until: datetime | None = None
    ) -> Iterator[pa.Table]:
        """See `Source`."""
        for batch in parquet_batches(self._open(), CHUNK_ROWS, columns):
            yield arrived(pa.table(batch).select(columns), arrival, since, until)

    def _open(self) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(self.file)
        except (pa.ArrowInvalid, OSError) as error:
            raise BadInput(f"{self.file} can't be read as Parquet: {error}", fix="Replace the file") from None


class TextFile:
    """See `Source` and `TextTable`. All columns stay text."""

    def __init__(self, file: Path) -> None:
        self.text, self.name = TextTable(file), str(file.absolute())

    def columns(self) -> list[str]:
        """See `Source`."""
        return self.text.columns()

    def rows(
        self, columns: list[str], arrival: str, since: datetime | None, until: datetime | None = None
    ) -> Iterator[pa.Table]:
        """See `Source`."""
        for batch in self.text.batches(columns):
            yield arrived(pa.table(batch), arrival, since, until)
