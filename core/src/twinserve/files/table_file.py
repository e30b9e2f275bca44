"""Tables in files: CSV and its kin, and Parquet; opened, named and refused in one way wherever one is taken in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from twinserve.errors import BadInput
from twinserve.files.parquet_batches import parquet_batches
from twinserve.files.text_table import TextTable

BATCH_ROWS = 131_072
READ_BYTES = 1 << 20
PARQUET_ENDING = ".parquet"
TEXT_ENDINGS = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
ENDINGS = (*TEXT_ENDINGS, PARQUET_ENDING)


def is_table(file: Path) -> bool:
    """Whether the name ends as that of a table does, in capitals or not."""
    return file.name.lower().endswith(ENDINGS)


class TableFile:
    """A file of rows under a header. What does not end in `.parquet` is text, all columns of it; see `TextTable`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._text = None if path.name.lower().endswith(PARQUET_ENDING) else TextTable(path)
        self._opened: pq.ParquetFile | None = None

    def schema(self) -> pa.Schema:
        """Names and types of the columns, in their order.

        Raises:
            BadInput: no such file, it can't be read, or two columns have one name.
        """
        if not self.path.is_file():
            raise BadInput(f"no file {self.path}", fix="Check the path; it is seen from where the command runs")
        if self._text:
            found = pa.schema([(name, pa.string()) for name in self._text.columns()])
        else:
            with self._parquet() as file:
                found = file.schema_arrow
        _refuse_twice(self.path, found.names)
        return found

    def batches(self, columns: list[str] | None = None, rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """The rows in their order, of these columns in this order, or of all; in Parquet at most `rows` at a time.

        Raises:
            BadInput: it can't be read to its end; of text, names the line.
        """
        names = self.schema().names if columns is None else columns
        if self._text:
            yield from self._text.batches(names)
            return
        with self._parquet() as file, file:
            self._opened = None  # closed at the end
            for batch in parquet_batches(file, rows, names):
                yield batch.select(names)

    def place(self, row: int) -> str:
        """Where the zero-based row stands: its line in text, its number from 1 in Parquet."""
        return self._text.place(row) if self._text else f"row {row + 1}"

    @contextmanager
    def _parquet(self) -> Iterator[pq.ParquetFile]:
        """The open file, the same one for the header and the rows: another may take its place on the disk meanwhile."""
        try:
            # buffered: a row group of any size is read piece by piece
            self._opened = self._opened or pq.ParquetFile(self.path, buffer_size=READ_BYTES)
            yield self._opened
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
            raise BadInput(f"{self.path} can't be read as Parquet: {error}", fix="Replace the file") from None


def _refuse_twice(path: Path, names: list[str]) -> None:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        called = ", ".join(name or "'' (no name at all)" for name in twice)
        raise BadInput(f"{path} has two columns named {called}", fix="Rename one")
