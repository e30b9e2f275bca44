"""Tables as text: CSV and its kin, read in one way wherever they are taken in."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv

from twinserve.errors import BadInput

DELIMITERS = "\t,;"
BLOCK_BYTES = 1 << 22  # a row must fit into one


class TextTable:
    """UTF-8 with or without a byte-order mark; tab, comma or semicolon, whichever the header has most of; plain or
    gzip (`.gz`). Every value stays the text that it is; an empty one is null."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def columns(self) -> list[str]:
        """The names in the header.

        Raises:
            BadInput: no header, or no UTF-8 text.
        """
        delimiter = self._delimiter()
        with self._text() as text:
            return next(csv.reader(text, delimiter=delimiter))

    def batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """The rows in order, these columns of them.

        Raises:
            BadInput: a line with too few or too many fields (names it), or no UTF-8 text.
        """
        misfits: list[pacsv.InvalidRow] = []

        def refuse(row: pacsv.InvalidRow) -> str:
            misfits.append(row)
            return "error"

        parse = pacsv.ParseOptions(delimiter=self._delimiter(), newlines_in_values=True, invalid_row_handler=refuse)
        try:
            with pa.input_stream(self.file, compression="detect") as stream:
                # one thread: only so is it known which row does not fit
                yield from pacsv.open_csv(
                    stream, pacsv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES), parse, _as_text(columns)
                )
        except (pa.ArrowInvalid, OSError) as error:
            if misfits:
                raise self._misfit(misfits[0]) from None
            raise self._unreadable(error) from None

    def place(self, row: int) -> str:
        """Where the zero-based data row stands. Blank lines and quoted line breaks make this a search."""
        delimiter = self._delimiter()
        with self._text() as text:
            reader = csv.reader(text, delimiter=delimiter)
            started, data_row = 1, -2
            for fields in reader:
                data_row += bool(fields)
                if fields and data_row == row:
                    return f"line {started}"
                started = reader.line_num + 1
        return f"row {row + 1}"

    def _delimiter(self) -> str:
        with self._text() as text:
            header = text.readline()
        if not header.strip():
            raise BadInput(f"{self.file} is empty", fix="Give a header line and at least one row")
        return max(DELIMITERS, key=header.count)

    @contextmanager
    def _text(self) -> Iterator[io.TextIOWrapper]:
        try:
            with pa.input_stream(self.file, compression="detect") as stream:
                yield io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
        except (UnicodeDecodeError, csv.Error, OSError) as error:
            raise self._unreadable(error) from None

    def _misfit(self, row: pacsv.InvalidRow) -> BadInput:
        # the header is row 1
        return BadInput(
            f"{self.file}, {self.place(row.number - 2)}: {row.actual_columns} fields, "
            f"where the header has {row.expected_columns}",
            fix="Correct the line",
        )

    def _unreadable(self, error: Exception) -> BadInput:
        return BadInput(f"{self.file} can't be read: {error}", fix="Give UTF-8 text with a header line")


def _as_text(columns: list[str]) -> pacsv.ConvertOptions:
    return pacsv.ConvertOptions(
        column_types=dict.fromkeys(columns, pa.string()),
        include_columns=columns,
        strings_can_be_null=True,
        null_values=[""],
    )
