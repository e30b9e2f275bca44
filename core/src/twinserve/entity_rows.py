"""Rows that ask for features: keys, a moment, and whatever else the file carries. CSV, TSV or Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from twinserve.arrow_types import ARROW_TYPES
from twinserve.errors import BadInput
from twinserve.text_table import TextTable
from twinserve.times import INSTANT, as_instants


@dataclass(frozen=True)
class EntityRows:
    """Rows in the order of the file.

    Attributes:
        table: the join keys typed as Feast declares them, the event time as microseconds UTC, and every other
            column of the file as it is: of its own type in Parquet, text in a text file.
        notes: what was assumed on the way, for the log and the task's result.
        undated: how many rows named no time, and got the one that the reader was given.
    """

    table: pa.Table
    notes: tuple[str, ...]
    undated: int = 0


def read_entity_rows(
    path: Path,
    join_keys: dict[str, str],
    *,
    timestamp: str = "event_timestamp",
    required: Sequence[str] = (),
    moment: datetime | None = None,
) -> EntityRows:
    """Read a file of entity rows.

    Args:
        path: `.csv`, `.tsv`, `.txt` (comma, semicolon or tab, told by the header; `.gz` too) or `.parquet`; UTF-8,
            with or without a byte-order mark.
        join_keys: column → Feast type (`INT32`, `INT64`, `STRING`). An empty key stays null.
        timestamp: the event time column: ISO 8601 text or a Parquet timestamp; without a zone it is UTC, and parts of
            a microsecond are cut off.
        required: further columns that must be there.
        moment: the event time of rows that name none, or of all where there is no such column; without it they are
            refused.

    Raises:
        BadInput: no such file, no rows, a column missing, a key or time that can't be read; names the file, the
            column and the first bad line (in a Parquet file: the row, counted from 1).
    """
    table = _read_table(path)
    if moment and timestamp not in table.column_names:
        table = table.append_column(timestamp, pa.nulls(table.num_rows, INSTANT))
    _require(path, table, [*join_keys, timestamp, *required])
    if table.num_rows == 0:
        raise BadInput(f"{path} has a header but no rows", fix="Give at least one row")
    for key, kind in join_keys.items():
        table = _replaced(table, key, _typed_key(path, key, table[key], kind))
    times, undated, notes = _instants(path, timestamp, table[timestamp], moment)
    return EntityRows(_replaced(table, timestamp, times), tuple(notes), undated)


def _read_table(path: Path) -> pa.Table:
    if not path.is_file():
        raise BadInput(f"no file {path}", fix="Check the path; it is seen from where the command runs")
    if path.suffix != ".parquet":
        return _read_text(path)
    try:
        return pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise BadInput(f"{path} can't be read: {error}", fix="Give a UTF-8 CSV or TSV file, or Parquet") from None


def _read_text(path: Path) -> pa.Table:
    text = TextTable(path)
    columns = text.columns()
    _refuse_twice(path, columns)
    return pa.Table.from_batches(text.batches(columns), pa.schema([(name, pa.string()) for name in columns]))


def _require(path: Path, table: pa.Table, columns: list[str]) -> None:
    if missing := [column for column in columns if column not in table.column_names]:
        raise BadInput(
            f"{path} has no column {', '.join(missing)}; it has {', '.join(table.column_names[:20])}",
            fix="Add it",
        )
    _refuse_twice(path, table.column_names)


def _refuse_twice(path: Path, columns: list[str]) -> None:
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        raise BadInput(f"{path} has two columns named {', '.join(twice)}", fix="Rename one")


def _typed_key(path: Path, column: str, values: pa.ChunkedArray, kind: str) -> pa.ChunkedArray:
    target = ARROW_TYPES[kind]
    if pa.types.is_string(values.type) and kind != "STRING":
        values = pc.utf8_trim_whitespace(values)
    try:
        return values.cast(target)
    except pa.ArrowInvalid:
        bad = next(i for i, value in enumerate(values) if not _casts(value, target))
        raise BadInput(
            f"{path}, {_place(path, bad)}: {column} is {_spelled(values[bad])}, which is no {kind}",
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


def _instants(
    path: Path, column: str, values: pa.ChunkedArray, moment: datetime | None
) -> tuple[pa.ChunkedArray, int, list[str]]:
    """The times, how many of them are `moment`, and notes."""
    times, wrong, naive = as_instants(values)
    undated = times.null_count - int(wrong.sum()) if moment else 0
    if undated:
        times = pc.if_else(pa.array(wrong), times, times.fill_null(pa.scalar(moment, INSTANT)))
    if times.null_count:
        bad = int(times.is_null().to_numpy(zero_copy_only=False).argmax())
        raise BadInput(
            f"{path}, {_place(path, bad)}: {column} is {_spelled(values[bad])}, which is no time "
            f"({times.null_count} such rows)",
            fix="Give ISO 8601, for example 2026-01-31T12:00:00Z",
        )
    notes = [f"{path.name}: {naive} times in {column} have no zone; taken as UTC"] if naive else []
    if undated:
        notes.append(f"{path.name}: {undated} rows name no time; taken as of {moment}")
    return pa.chunked_array([times]), undated, notes


def _spelled(value: pa.Scalar) -> str:
    try:
        return repr(str(value))
    except (OverflowError, ValueError):  # a time that Python's own don't reach
        return f"{value.value} ({value.type})"


def _place(path: Path, row: int) -> str:
    return f"row {row + 1}" if path.suffix == ".parquet" else TextTable(path).place(row)


def _replaced(table: pa.Table, column: str, values: pa.ChunkedArray) -> pa.Table:
    return table.set_column(table.column_names.index(column), column, values)
