"""The offline store's files: one per UTC day of event time, each replaced as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_pipeline.clean import stored_schema
from twinserve.atomic import atomic_file
from twinserve.errors import BadInput
from twinserve.features.views import ViewSpec
from twinserve.locks import alone

FILE_NAME = "part-0.parquet"


class Merged(NamedTuple):
    """Rows to keep in their order, and rows of the same keys and times that lost against one of them."""

    kept: pa.Table
    lost: pa.Table


def identity(view: ViewSpec) -> list[str]:
    """Columns that name one statement: keys, event time, time of writing. Two values for it contradict each other."""
    return [*view.join_keys, view.timestamp, *([view.created] if view.created else [])]


def merge(table: pa.Table, view: ViewSpec) -> Merged:
    """Sort by keys, event time, time of writing and features; drop exact duplicates and contradictions.

    Of contradicting rows the first in that order stays, nulls counting as last: an arbitrary choice, but the
    same one in whatever order the rows arrive.
    """
    order = [*identity(view), *view.features]
    ranks = table.sort_by([(name, "ascending") for name in order])
    unique = ranks.filter(pa.array(_differs(ranks, order)))
    first = _differs(unique, identity(view))
    return Merged(unique.filter(pa.array(first)), unique.filter(pa.array(~first)))


def _differs(table: pa.Table, columns: list[str]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
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


def read_day(view: ViewSpec, day: date) -> pa.Table:
    """The stored rows of a day, in today's schema: a feature that was added since is null."""
    schema, file = stored_schema(view), day_file(view, day)
    if not file.exists():
        return schema.empty_table()
    found = pq.read_table(file, partitioning=None)
    columns = [found[f.name] if f.name in found.column_names else pa.nulls(found.num_rows, f.type) for f in schema]
    return pa.table(columns, names=schema.names).cast(schema)


def refuse_lost_keys(view: ViewSpec, days: Iterable[date]) -> None:
    """Files that were written when the view had other join keys can't be merged with today's rows.

    Raises:
        BadInput: a stored file lacks a join key; or it has a column that the view lacks, and without it its rows
            contradict each other, so that it was a key.
    """
    for day in days:
        file = day_file(view, day)
        stored = pq.read_schema(file).names if file.exists() else list(view.columns)
        lost = [key for key in view.join_keys if key not in stored]
        gone = [column for column in stored if column not in view.columns]
        if lost or (gone and merge(read_day(view, day), view).lost.num_rows):
            raise BadInput(
                f"{file} was written with other join keys than feature view {view.name} has: it "
                + (f"lacks {', '.join(lost)}" if lost else f"holds several rows of one key without {', '.join(gone)}"),
                fix="Restore the keys in the definitions; or remove the file and ingest its day: --since, --until",
            )


def write_day(view: ViewSpec, day: date, rows: pa.Table) -> None:
    """Replace the file of a day."""
    with atomic_file(day_file(view, day)) as draft:
        pq.write_table(rows.combine_chunks(), draft, compression="zstd")


def newest_event(view: ViewSpec) -> datetime | None:
    """The latest event time stored; None in an empty store."""
    files = sorted(view.path.glob(f"day=*/{FILE_NAME}"))
    if not files:
        return None
    newest: datetime | None = pc.max(pq.read_table(files[-1], columns=[view.timestamp], partitioning=None)[0]).as_py()
    return newest


def publishing(lock: Path) -> AbstractContextManager[None]:
    """One run at a time publishes a view.

    Raises:
        TransientError: another run is publishing.
    """
    return alone(lock, f"publishing under {lock}")
