"""Rows that ask for features: keys, a moment, and whatever else the file carries. CSV, TSV or Parquet."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from twinserve.errors import BadInput

INSTANT = pa.timestamp("us", tz="UTC")
KEY_ARROW_TYPES = {"INT32": pa.int32(), "INT64": pa.int64(), "STRING": pa.string()}
_ZONE = re.compile(r"(?:[zZ]|[+-]\d{2}:?\d{2})\s*$")


@dataclass(frozen=True)
class EntityRows:
    """Rows in the order of the file.

    Attributes:
        table: the join keys typed as Feast declares them, the event time as microseconds UTC, and every other
            column of the file as it is.
        notes: what was assumed on the way, for the log and the task's result.
    """

    table: pa.Table
    notes: tuple[str, ...]


def read_entity_rows(
    path: Path, join_keys: dict[str, str], *, timestamp: str = "event_timestamp", required: Sequence[str] = ()
) -> EntityRows:
    """Read a file of entity rows.

    Args:
        path: `.csv`, `.tsv`, `.txt` (comma, semicolon or tab, told by the header; `.gz` too) or `.parquet`; UTF-8,
            with or without a byte-order mark.
        join_keys: column → Feast type (`INT32`, `INT64`, `STRING`). An empty key stays null.
        timestamp: the event time column: ISO 8601 text or a Parquet timestamp; without a zone it is UTC.
        required: further columns that must be there.

    Raises:
        BadInput: no such file, no rows, a column missing, a key or time that can't be read; names the file, the
            column and the first bad line (in a Parquet file: the row, counted from 1).
    """
    table = _read_table(path, text_columns=[*join_keys, timestamp])
    _require(path, table, [*join_keys, timestamp, *required])
    if table.num_rows == 0:
        raise BadInput(f"{path} has a header but no rows", fix="Give at least one row")
    for key, kind in join_keys.items():
        table = _replaced(table, key, _typed_key(path, key, table[key], kind))
    times, notes = _instants(path, timestamp, table[timestamp])
    return EntityRows(_replaced(table, timestamp, times), tuple(notes))


def _read_table(path: Path, text_columns: list[str]) -> pa.Table:
    if not path.is_file():
        raise BadInput(f"no file {path}", fix="Check the path; it is seen from where the command runs")
    try:
        if path.suffix == ".parquet":
            return pq.read_table(path)
        return _read_text(path, text_columns)
    except (pa.ArrowInvalid, OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} can't be read: {error}", fix="Give a UTF-8 CSV or TSV file, or Parquet") from None


def _read_text(path: Path, text_columns: list[str]) -> pa.Table:
    with _opened(path) as file:
        header = file.readline()
    if not header.strip():
        raise BadInput(f"{path} is empty", fix="Give a header line and at least one row")
    options = pacsv.ParseOptions(delimiter=_delimiter(header), newlines_in_values=True)
    convert = pacsv.ConvertOptions(
        column_types=dict.fromkeys(text_columns, pa.string()), strings_can_be_null=True, null_values=[""]
    )
    return pacsv.read_csv(path, parse_options=options, convert_options=convert)


def _opened(path: Path) -> io.TextIOBase:
    if path.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(path), encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _delimiter(header: str) -> str:
    return max("\t,;", key=header.count)


def _require(path: Path, table: pa.Table, columns: list[str]) -> None:
    if missing := [column for column in columns if column not in table.column_names]:
        raise BadInput(
            f"{path} has no column {', '.join(missing)}; it has {', '.join(table.column_names[:20])}",
            fix="Add it",
        )
    if twice := sorted({name for name in table.column_names if table.column_names.count(name) > 1}):
        raise BadInput(f"{path} has two columns named {', '.join(twice)}", fix="Rename one")


def _typed_key(path: Path, column: str, values: pa.ChunkedArray, kind: str) -> pa.ChunkedArray:
    target = KEY_ARROW_TYPES[kind]
    if pa.types.is_string(values.type) and kind != "STRING":
        values = pc.utf8_trim_whitespace(values)
    try:
        return values.cast(target)
    except pa.ArrowInvalid:
        bad = next(i for i, value in enumerate(values) if not _casts(value, target))
        raise BadInput(
            f"{path}, {_place(path, bad)}: {column} is {str(values[bad])!r}, which is no {kind}",
            fix="Correct the row",
        ) from None
    except pa.ArrowNotImplementedError:
        raise BadInput(f"{path}: column {column} holds {values.type}, not {kind}", fix="Correct the column") from None


def _casts(value: pa.Scalar, target: pa.DataType) -> bool:
    try:
        value.cast(target)
    except pa.ArrowInvalid:
        return False
    return True


def _instants(path: Path, column: str, values: pa.ChunkedArray) -> tuple[pa.ChunkedArray, list[str]]:
    if pa.types.is_timestamp(values.type) or pa.types.is_date(values.type):
        naive = getattr(values.type, "tz", None) is None
        parsed = pd.Series(values.cast(pa.timestamp("us")).to_numpy())
        has_zone = np.full(len(parsed), not naive)
    elif pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        text = values.to_pandas()
        parsed = pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce").dt.tz_localize(None)
        has_zone = text.str.contains(_ZONE).fillna(value=False).to_numpy(dtype=bool)
    else:
        raise BadInput(f"{path}: column {column} holds {values.type}, no time", fix="Give ISO 8601 times")
    _refuse_bad_time(path, column, values, parsed)
    instants = pa.chunked_array([pa.array(parsed.to_numpy().astype("datetime64[us]"), INSTANT)])
    return instants, _naive_note(path, column, has_zone)


def _refuse_bad_time(path: Path, column: str, values: pa.ChunkedArray, parsed: pd.Series[pd.Timestamp]) -> None:
    missing = parsed.isna().to_numpy()
    if not missing.any():
        return
    bad = int(missing.argmax())
    raise BadInput(
        f"{path}, {_place(path, bad)}: {column} is {str(values[bad])!r}, which is no time "
        f"({int(missing.sum())} such rows)",
        fix="Give ISO 8601, for example 2026-01-31T12:00:00Z",
    )


def _naive_note(path: Path, column: str, has_zone: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> list[str]:
    naive = int((~has_zone).sum())
    return [f"{path.name}: {naive} times in {column} have no zone; taken as UTC"] if naive else []


def _place(path: Path, row: int) -> str:
    """Where the zero-based data row stands in the file. Blank lines and quoted line breaks make this a search."""
    if path.suffix == ".parquet":
        return f"row {row + 1}"
    with _opened(path) as file:
        header = file.readline()
        file.seek(0)
        reader = csv.reader(file, delimiter=_delimiter(header))
        started = 1
        data_row = -2
        for fields in reader:
            data_row += bool(fields)
            if fields and data_row == row:
                return f"line {started}"
            started = reader.line_num + 1
    return f"row {row + 1}"


def _replaced(table: pa.Table, column: str, values: pa.ChunkedArray) -> pa.Table:
    return table.set_column(table.column_names.index(column), column, values)
