"""From the offline store to Redis: the latest row of each key, in Feast's own layout.

Incremental by what changed: each view's day files are remembered by size and modification time in a hash beside
the features (so a flushed or replaced Redis is filled anew). A run reads the files that are new or changed,
however late their rows, and those of the look-back window; a file with rows ahead of our clock is read again until
their time has come. A row is written when Redis holds none for its key, or one that is not newer: a correction with
the same event time replaces what it corrects, which Feast's own writer would skip.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import redis
from google.protobuf.timestamp_pb2 import Timestamp

from twinserve.errors import StepMissing
from twinserve.features.day_files import DayFileMemory, is_recent, signatures
from twinserve.features.definitions import describe_view
from twinserve.features.duck import duck
from twinserve.features.feast_errors import feast_errors
from twinserve.features.point_in_time import latest_sql, parquet_relation, quoted
from twinserve.features.redis_layout import decode_event_time, event_time_field, feature_field, redis_key
from twinserve.features.store import open_store
from twinserve.features.views import ViewSpec
from twinserve.locks import one_at_a_time
from twinserve.progress import RowProgress
from twinserve.settings import Settings

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView

logger = logging.getLogger(__name__)
LOOKBACK = timedelta(days=1)
CHUNK = 5_000


@dataclass(frozen=True)
class ViewResult:
    """What one run did for one view.

    Attributes:
        keys: distinct keys in the files that were read.
        written: keys whose row in Redis was set; the others held a newer one.
    """

    view: str
    files_read: int
    files_unchanged: int
    keys: int
    written: int


def materialize(settings: Settings, redis_url: str, lookback: timedelta | None = None) -> list[ViewResult]:
    """Bring the online store up to now, for every feature view that has `online=True`.

    Args:
        lookback: day files not older than this are read even when they look unchanged; `LOOKBACK` if None.

    Raises:
        StepMissing: nothing is applied yet, or a view has no data.
        TransientError: Redis or the registry can't be reached.
    """
    now = datetime.now(UTC)
    store = open_store(settings, redis_url)
    with feast_errors():
        views = [view for view in store.list_feature_views() if view.online]
    if not views:
        raise StepMissing("no feature view is registered", fix="Run `data-pipeline apply` first")
    window = LOOKBACK if lookback is None else lookback
    one = one_at_a_time(settings.home / "locks" / "materialize")
    with one, feast_errors(), redis.Redis.from_url(redis_url, socket_timeout=30) as client:
        return [_materialize_view(store, client, view, now, window) for view in views]


def _materialize_view(
    store: FeatureStore, client: redis.Redis, view: FeatureView, now: datetime, lookback: timedelta
) -> ViewResult:
    spec = describe_view(view)
    files = signatures(spec.path)
    if not files:
        raise StepMissing(f"feature view {spec.name} has no data in {spec.path}", fix="Run the DAG db_to_offline_store")
    memory = DayFileMemory(client, store.project, spec)
    known = memory.known()
    due = [name for name, signature in files.items() if known.get(name) != signature or is_recent(name, now - lookback)]
    keys, written, unfinished = _write_latest(client, store, spec, due, now)
    memory.remember({name: signature for name, signature in files.items() if name not in unfinished})
    store.registry.apply_materialization(view, store.project, _start(view, now), now)  # Feast's tools show it
    return ViewResult(spec.name, len(due), len(files) - len(due), keys, written)


def _start(view: FeatureView, now: datetime) -> datetime:
    return max((end for _, end in view.materialization_intervals), default=now - (view.ttl or timedelta(days=365)))


def _write_latest(
    client: redis.Redis, store: FeatureStore, spec: ViewSpec, names: list[str], now: datetime
) -> tuple[int, int, set[str]]:
    """Keys read, keys written, and the files that hold rows for later."""
    if not names:
        return 0, 0, set()
    files = parquet_relation([str(spec.path / name) for name in names])
    until_now = f"CAST({quoted(spec.timestamp)} AS TIMESTAMPTZ) <= '{now.isoformat()}'"
    where = " AND ".join([until_now, *(f"{quoted(key)} IS NOT NULL" for key in spec.join_keys)])
    sql = latest_sql(files, spec.join_keys, spec.features, spec.timestamp, spec.created, where)
    keys = written = 0
    with duck() as connection, RowProgress(f"materialize {spec.name}", None) as progress:
        for batch in connection.sql(sql).to_arrow_reader(CHUNK):
            written += _write_chunk(client, store, spec, batch)
            keys += batch.num_rows
            progress.advance(batch.num_rows)
        later = connection.sql(f"SELECT DISTINCT filename FROM {files} WHERE NOT ({until_now})").fetchall()
    return keys, written, {str(Path(name).relative_to(spec.path)) for (name,) in later}


def _write_chunk(client: redis.Redis, store: FeatureStore, spec: ViewSpec, batch: pa.RecordBatch) -> int:
    """Write the rows that Redis does not have newer; one round trip to ask, one to write."""
    names = _key_names(store.project, spec, batch)
    event_field, times = event_time_field(spec.name), _times(batch, spec.timestamp)
    with client.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.execute_command("HGET", name, event_field)  # type: ignore[no-untyped-call]
        held = pipe.execute()
    columns = [(feature_field(spec.name, f), _encoded(batch, f, kind)) for f, kind in spec.features.items()]
    expiry = getattr(store.config.online_store, "key_ttl_seconds", None)
    written = 0
    with client.pipeline(transaction=False) as pipe:
        for row, name in enumerate(names):
            if held[row] is not None and decode_event_time(held[row]) > times[row].ToMicroseconds():
                continue
            fields = [part for field, values in columns for part in (field, values[row])]
            pipe.execute_command(  # type: ignore[no-untyped-call]
                "HSET", name, event_field, times[row].SerializeToString(), *fields
            )
            if expiry:
                pipe.expire(name, expiry)
            written += 1
        pipe.execute()
    return written


def _key_names(project: str, spec: ViewSpec, batch: pa.RecordBatch) -> list[bytes]:
    columns = {key: (kind, batch[key].to_pylist()) for key, kind in spec.join_keys.items()}
    return [
        redis_key(project, {key: (kind, values[row]) for key, (kind, values) in columns.items()})
        for row in range(batch.num_rows)
    ]


def _times(batch: pa.RecordBatch, column: str) -> list[Timestamp]:
    stamps = []
    for micros in batch[column].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_pylist():
        stamp = Timestamp()
        stamp.FromMicroseconds(micros)
        stamps.append(stamp)
    return stamps


def _encoded(batch: pa.RecordBatch, feature: str, kind: str) -> list[bytes]:
    from feast.type_map import python_values_to_proto_values
    from feast.value_type import ValueType

    values: list[Any] = batch[feature].to_pylist()
    return [value.SerializeToString() for value in python_values_to_proto_values(values, ValueType[kind])]
