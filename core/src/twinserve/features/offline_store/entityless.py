"""Features without entity rows: every key, as it stood at one moment."""

from __future__ import annotations

from datetime import datetime

from feast.utils import make_tzaware

from twinserve.errors import BadInput
from twinserve.features.offline_store.point_in_time import JoinedView
from twinserve.features.stored_files.deleted_rows import has_deleted_rows, is_deleted
from twinserve.features.stored_files.source_files import parquet_files
from twinserve.features.stored_files.sql import parquet_relation, quoted, typed


def snapshot_sql(views: list[JoinedView], start: datetime | None, end: datetime) -> str:
    """SQL of the entity rows: `event_timestamp`, which is `end`, and each key that has a row no older than its TTL,
    and was not deleted since.

    Args:
        start: leave out keys without a row since; None for no such limit.

    Raises:
        BadInput: the views have different keys, so that there is no one list of them.
        StepMissing: a view has no data.
    """
    at, since = make_tzaware(end), make_tzaware(start) if start else None
    names = [sorted(entity for entity, _ in view.keys.values()) for view in views]
    if any(other != names[0] for other in names):
        raise BadInput(
            f"the views {', '.join(view.name for view in views)} have different keys: no one list of keys fits them",
            fix="Pass entity_df, or ask for the views one by one",
        )
    known = " UNION ".join(_keys(view, names[0], since, at) for view in views)
    columns = ", ".join([f"TIMESTAMPTZ '{at.isoformat()}' AS event_timestamp", *map(quoted, names[0])])
    return f"SELECT DISTINCT {columns} FROM ({known}) ORDER BY ALL"


def _keys(view: JoinedView, names: list[str], since: datetime | None, at: datetime) -> str:
    stored = {entity: (column, kind) for column, (entity, kind) in view.keys.items()}
    columns = [f"{typed(*stored[name])} AS {quoted(name)}" for name in names] or ["1"]
    times = f"CAST({quoted(view.timestamp)} AS TIMESTAMPTZ)"
    oldest = max([moment for moment in (since, view.ttl and at - view.ttl) if moment], default=None)
    where = [f"{times} <= '{at.isoformat()}'", *([f"{times} >= '{oldest.isoformat()}'"] if oldest else [])]
    where += [f"{quoted(column)} IS NOT NULL" for column in view.keys]
    files = parquet_files(view.path)
    relation = parquet_relation([str(file) for file in files])
    known = f"SELECT {', '.join(columns)} FROM {relation} WHERE {' AND '.join(where)}"
    if not has_deleted_rows(files):
        return known
    made = f"CAST({quoted(view.created)} AS TIMESTAMPTZ)" if view.created else "NULL"
    latest = f"arg_max({is_deleted()}, ({times}, {made}, file_index, file_row_number))"
    return f"{known} GROUP BY ALL HAVING NOT {latest}"
