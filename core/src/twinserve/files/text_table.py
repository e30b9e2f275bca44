"""Tables as text: CSV and its kin, read in one way wherever they are taken in."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
        with self._records() as records:
            names: list[str] = next(records)
        if any("\0" in name for name in names):
            raise BadInput(f"{self.file} has NUL bytes in its header", fix="Give UTF-8 text; this may be UTF-16")
        return names

    def batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """The rows in order, these columns of them.

        Raises:
            BadInput: a line with too few or too many fields, or a quote that is not closed; names it. Or no UTF-8 text.
        """
        misfits: list[pacsv.InvalidRow] = []

        def refuse(row: pacsv.InvalidRow) -> str:
            misfits.append(row)
            return "error"

        parse = pacsv.ParseOptions(delimiter=self._delimiter(), newlines_in_values=True, invalid_row_handler=refuse)
        rows = 0
        try:
            with pa.input_stream(self.file, compression="detect") as stream:
                counted = _Counted(stream)
                # one thread: only so is it known which row does not fit
                for batch in pacsv.open_csv(
                    counted, pacsv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES), parse, _as_text(columns)
                ):
                    rows += batch.num_rows
                    yield batch
        except (pa.ArrowInvalid, pa.ArrowKeyError, OSError) as error:
            if misfits:
                raise self._misfit(misfits[0]) from None
            raise self._unreadable(error) from None
        if counted.quotes and counted.lines > rows + 1:
            self._refuse_open_quotes(rows)

    def place(self, row: int) -> str:
        """Where the zero-based data row stands. Blank lines and quoted line breaks make this a search."""
        with self._records() as records:
            started, data_row = 1, -2
            for fields in records:
                data_row += bool(fields)
                if fields and data_row == row:
                    return f"line {started}"
                started = records.line_num + 1
        return f"row {row + 1}"

    def _delimiter(self) -> str:
        with self._text() as text:
            header = text.readline()
        if not header.strip():
            raise BadInput(f"{self.file} is empty", fix="Give a header line and at least one row")
        return max(DELIMITERS, key=header.count)

    def _refuse_open_quotes(self, rows: int) -> None:
        """Arrow takes whatever follows an open quote, line breaks and all, for one value: rows vanish in it.

        Looked for only where a file has quotes and more lines than rows: with blank lines, or values of several lines.
        """
        with self._records(strict=True) as records:
            started, found = 1, -1
            try:
                for fields in records:
                    found += bool(fields)
                    started = records.line_num + 1
            except csv.Error:
                found = -1
        if found != rows:
            raise BadInput(f"{self.file}, line {started}: a quote is not closed, or text follows it", fix="Correct it")

    @contextmanager
    def _records(self, *, strict: bool = False) -> Iterator[Any]:
        """Python's reader over the file: slower than Arrow's, but it knows its lines."""
        csv.field_size_limit(max(csv.field_size_limit(), BLOCK_BYTES))
        delimiter = self._delimiter()
        with self._text() as text:
            yield csv.reader(text, delimiter=delimiter, strict=strict)

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


class _Counted(io.RawIOBase):
    """Counts lines and quotes of what is read through it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.ends = self.quotes = 0
        self._last = b""

    @property
    def lines(self) -> int:
        """At least as many as there are."""
        return self.ends + (self._last not in b"\r\n")

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        piece: bytes = self._stream.read(size)
        self._last = piece[-1:] or self._last
        self.ends += max(piece.count(b"\n"), piece.count(b"\r"))
        self.quotes += piece.count(b'"')
        return piece


def _as_text(columns: list[str]) -> pacsv.ConvertOptions:
    return pacsv.ConvertOptions(
        column_types=dict.fromkeys(columns, pa.string()),
        include_columns=columns,
        strings_can_be_null=True,
        null_values=[""],
    )
