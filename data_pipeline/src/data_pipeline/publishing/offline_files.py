"""The offline store's files: one per UTC day of event time, each replaced as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_pipeline.clean import stored_schema
from data_pipeline.publishing.stored_types import as_declared, told_apart
from twinserve.features.feast_repo.views import ViewSpec
from twinserve.features.stored_files.deleted_rows import DELETED
from twinserve.features.stored_files.file_sizes import deletions_of, with_deletions
from twinserve.features.stored_files.source_files import day_of
from twinserve.files.atomic import atomic_file
from twinserve.files.locks import alone

FILE_NAME = "part-0.parquet"


class StoredDay(NamedTuple):
    """The stored rows of a day.

    Attributes:
        rows: the columns that the view declares, in its types, then those that it does not.
        absent: declared features that the file has not: added since, null in `rows`.
        retyped: declared features → the type in which the file holds them, where that is one whose values say less
            than a new read would.
    """

    rows: pa.Table
    absent: frozenset[str] = frozenset()
    retyped: Mapping[str, pa.DataType] = MappingProxyType({})


def identity(view: ViewSpec) -> list[str]:
    """Columns that name one statement: keys, event time, time of writing. Two values for it contradict each other."""
    return [*view.join_keys, view.timestamp, *([view.created] if view.created else [])]


def differs(table: pa.Table, columns: list[str]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Whether each row differs from the one before it in one of `columns`; null equals null."""
    changed = np.zeros(table.num_rows, bool)
    changed[:1] = True
    for name in columns:
        values = table[name].combine_chunks()
        below, above = values[1:], values[:-1]
        same = pc.fill_null(pc.equal(below, above), fill_value=False)
        both_null = pc.and_(below.is_null(), above.is_null())
        changed[1:] |= ~pc.or_(same, both_null).to_numpy(zero_copy_only=False)
    return changed


def by_day(table: pa.Table, timestamp: str) -> Iterator[tuple[date, pa.Table]]:
    """The rows of each UTC day of `timestamp`, days ascending."""
    ordered = table.sort_by(timestamp)
    days = ordered[timestamp].to_numpy().astype("datetime64[D]")
    changes = np.flatnonzero(days[1:] != days[:-1]) + 1
    for low, high in pairwise([0, *changes.tolist(), days.size]):
        if low == high:
            return  # no rows at all
        yield days[low].item(), ordered.slice(low, high - low)


def day_file(view: ViewSpec, day: date) -> Path:
    """Where the rows of `day` are."""
    return view.path / f"day={day.isoformat()}" / FILE_NAME


def day_files(view: ViewSpec) -> dict[date, Path]:
    """Every stored day and its file, days ascending; a folder that is not of one day, such as a copy, is left alone."""
    found = sorted(view.path.glob(f"day=*/{FILE_NAME}"))
    return {day: file for file in found if (day := day_of(file.relative_to(view.path)))}


def read_day(view: ViewSpec, day: date) -> StoredDay:
    """The stored rows of a day. A feature that was added since is null; columns that are declared no more stay.

    `refuse_lost_columns` must have let the view pass.
    """
    schema, file = stored_schema(view), day_file(view, day)
    if not file.exists():
        return StoredDay(schema.empty_table())
    found = pq.read_table(file, partitioning=None).replace_schema_metadata(None)
    columns = {f.name: _declared(found, f) for f in schema}
    others = {name: found[name] for name in found.column_names if name not in columns}
    absent, retyped = told_apart(found.schema, schema)
    # a file without marks says of each row that it is none
    return StoredDay(pa.table({**columns, **others}), absent - {DELETED}, retyped)


def _declared(found: pa.Table, field: pa.Field) -> pa.ChunkedArray | pa.Array:
    if field.name not in found.column_names:
        return pa.nulls(found.num_rows, field.type)
    return as_declared(found[field.name], field.type).values


def write_day(view: ViewSpec, day: date, rows: pa.Table, *, rows_deleted: bool = False) -> None:
    """Replace the file of a day.

    Args:
        rows_deleted: a row that the file has is not in `rows`: it is noted, as the number of rows may not tell.
    """
    deletions = deletions_of(day_file(view, day)) + rows_deleted
    if DELETED in rows.column_names and rows[DELETED].null_count == rows.num_rows:
        rows = rows.drop_columns([DELETED])  # who reads a file with the column looks for such rows
    with atomic_file(day_file(view, day)) as draft:
        pq.write_table(with_deletions(rows.combine_chunks(), deletions), draft, compression="zstd")


def newest_event(view: ViewSpec) -> datetime | None:
    """The latest event time stored; None in an empty store."""
    files = day_files(view)
    if not files:
        return None
    newest: datetime | None = pc.max(
        pq.read_table(files[max(files)], columns=[view.timestamp], partitioning=None)[0]
    ).as_py()
    return newest


def newest_rows(view: ViewSpec, most: int) -> pa.Table:
    """Some rows of the latest day stored, in today's schema; at most `most`, none from an empty store."""
    schema, days = stored_schema(view), day_files(view)
    if not days:
        return schema.empty_table()
    return read_day(view, max(days)).rows.slice(0, most).select(schema.names)


def publishing(lock: Path) -> AbstractContextManager[None]:
    """One run at a time publishes a view.

    Raises:
        TransientError: another run is publishing.
    """
    return alone(lock, f"publishing under {lock}")
