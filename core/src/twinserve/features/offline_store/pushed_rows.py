"""Rows pushed one by one or few at a time, added to a view's data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from twinserve.errors import BadInput
from twinserve.features.offline_store.point_in_time import JoinedView
from twinserve.features.stored_files.duck import duck, fetched
from twinserve.features.stored_files.feast_arrow import cast_column, key_type
from twinserve.features.stored_files.feature_rows import named, stored_columns
from twinserve.features.stored_files.source_files import PUSHED, parquet_in
from twinserve.files.atomic import atomic_file
from twinserve.files.locks import one_at_a_time
from twinserve.values.times import INSTANT

FILE_NAME = PUSHED


def push_rows(view: JoinedView, table: pa.Table) -> int:
    """Add rows to `<view>/day=YYYY-MM-DD/pushed-0.parquet` by the UTC day of their event time; returns their number.

    A view whose source is a single file has them added to that. Each file is replaced as a whole; two who push at
    once wait for each other. A row that is there already is not added again, so a push may be repeated.

    Raises:
        BadInput: columns are missing, or neither the view nor its data knows them; a value does not fit its type; a
            row has no key or time.
        TransientError: the disk is full.
    """
    rows = _typed(view, table)
    with one_at_a_time(view.path.parent / ".locks" / f"{view.path.name}.push"):
        if view.path.suffix == ".parquet":
            _add(view.path, rows)
        else:
            for day, part in _by_day(rows, view.timestamp):
                _add(view.path / f"day={day}" / FILE_NAME, part)
    return len(rows)


def _typed(view: JoinedView, table: pa.Table) -> pa.Table:
    kinds = {column: _stored_key(kind) for column, (_, kind) in view.keys.items()} | view.types
    kinds |= {name: INSTANT for name in (view.timestamp, view.created) if name}
    kinds |= {name: kind for name, kind in _stored_types(view.path).items() if name not in kinds}
    lost, strange = sorted(set(kinds) - set(table.column_names)), sorted(set(table.column_names) - set(kinds))
    if lost or strange:
        raise BadInput(
            f"rows pushed to {view.name} lack {', '.join(lost) or 'nothing'}, "
            f"and its data has no {', '.join(strange) or 'other column'}",
            fix=f"Give {', '.join(kinds)}",
        )
    rows = pa.table({name: _column(view, table, name, kind) for name, kind in kinds.items()})
    for name in (*view.keys, view.timestamp):
        if rows[name].null_count:
            raise BadInput(f"{rows[name].null_count} rows pushed to {view.name} have no {name}", fix="Give it")
    return rows


def _stored_types(path: Path) -> dict[str, pa.DataType]:
    """The columns of the newest file; a source may have more than the view asks for."""
    files = parquet_in(path)
    if not files:
        return {}
    return {field.name: field.type for field in stored_columns(files[-1])}


def _stored_key(kind: str) -> pa.DataType:
    return pa.int32() if kind == "INT32" else key_type(kind)


def _column(view: JoinedView, table: pa.Table, name: str, kind: pa.DataType | None) -> pa.ChunkedArray | pa.Array:
    try:
        return cast_column(table[name], kind)
    except ValueError as error:
        raise BadInput(f"rows pushed to {view.name}: {name} is not {kind}: {error}", fix="Correct it") from error


def _by_day(rows: pa.Table, timestamp: str) -> Iterator[tuple[str, pa.Table]]:
    days = rows[timestamp].cast(pa.int64()).to_numpy() // 86_400_000_000
    for day in np.unique(days):
        yield str(np.datetime64(int(day), "D")), rows.filter(pa.array(days == day))


def _add(file: Path, rows: pa.Table) -> None:
    if file.exists():
        with named(file):
            before = pq.read_table(file, partitioning=None)
        rows = pa.concat_tables([before, _like(file, before.schema, rows)], promote_options="default")
    with atomic_file(file) as draft:
        pq.write_table(_distinct(rows), draft, compression="zstd")


def _like(file: Path, schema: pa.Schema, rows: pa.Table) -> pa.Table:
    """In the types of what is there."""
    try:
        columns = {
            name: _without_loss(rows[name], schema.field(name).type) if name in schema.names else rows[name]
            for name in rows.column_names
        }
    except ValueError as error:
        raise BadInput(f"rows pushed do not fit those in {file}: {error}", fix="Correct their types") from error
    return pa.table(columns)


def _without_loss(values: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray | pa.Array:
    """A narrower float would round: the file was written before the view was declared as it is."""
    found = cast_column(values, kind)
    if pa.types.is_floating(kind) and not kind.equals(values.type):
        back = cast_column(found, values.type)
        both = pa.table({"given": values, "kept": back}).filter(pc.invert(pc.is_nan(values)))
        if lost := both.filter(pc.not_equal(both["given"], both["kept"])).num_rows:
            raise ValueError(f"{lost} values of type {values.type} are no {kind}")
    return found


def _distinct(rows: pa.Table) -> pa.Table:
    """The last of each set of equal rows, in order: what was pushed last counts."""
    names = [f"c{i}" for i in range(rows.num_columns)]
    numbered = rows.rename_columns(names).append_column("n", pa.array(np.arange(rows.num_rows)))
    with duck() as connection:
        connection.register("numbered", numbered)
        kept = fetched(connection, f"SELECT max(n) AS n FROM numbered GROUP BY {', '.join(names)}")["n"]
    return rows if len(kept) == rows.num_rows else rows.take(pa.array(np.sort(kept)))
