"""The rows of a key in a view's offline store, and when they were read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_pipeline.forgetting.entity_key import KeyColumns
from data_pipeline.forgetting.parquet_rows import rows_by_columns
from data_pipeline.publishing.offline_files import day_files, identity, read_day
from data_pipeline.publishing.read_times import NEVER, ReadTimes, marks
from data_pipeline.publishing.whole_reads import WholeReads
from twinserve.features.feast_repo.views import ViewSpec
from twinserve.features.stored_files.source_files import parquet_in
from twinserve.files.locks import one_at_a_time


def forget_stored(view: ViewSpec, key: KeyColumns, *, remove: bool) -> int:
    """Rows in the files of a view, pushed ones included. A file that would hold no row is removed."""
    if not remove:
        return _stored(view, key, remove=False)
    with one_at_a_time(view.path.parent / ".locks" / f"{view.path.name}.push"):
        return _stored(view, key, remove=True)


def _stored(view: ViewSpec, key: KeyColumns, *, remove: bool) -> int:
    found = 0
    for file in parquet_in(view.path):
        rows = rows_by_columns(file, [key], remove=remove)
        found += rows
        if rows and remove and not pq.read_metadata(file).num_rows:
            file.unlink()
    return found


def forget_read_times(view: ViewSpec, times: ReadTimes, key: KeyColumns, *, remove: bool) -> int:
    """Marks of the rows in the files of a view: to be called while the files still have the rows."""
    found, whole = 0, WholeReads(times.folder)
    for day in day_files(view):
        if not (times.folder / f"day={day.isoformat()}.parquet").exists():
            continue
        rows = read_day(view, day).rows
        of_key = key.rows(rows)
        if not of_key.any():
            continue
        names = identity(view)
        known = int((times.of(day, marks(rows.filter(pa.array(of_key)), names)) > NEVER).sum())
        found += known
        if remove:
            whole.forget(view, rows.filter(pa.array(of_key)))
        if known and remove:
            kept = marks(rows.filter(pa.array(~of_key)), names)
            times.note(day, kept, np.array([], np.uint64), datetime.now(UTC))
    return found


def forget_staged(home: Path, keys: Sequence[KeyColumns], *, remove: bool) -> int:
    """Rows that a killed materialization had yet to write. Its file goes whole: the next run collects it anew."""
    found = 0
    for file in sorted((home / "materialize").glob("*.parquet")):
        rows = rows_by_columns(file, keys, remove=False)
        found += rows
        if rows and remove:
            file.unlink()
    return found
