"""Rows that are in Redis although the offline store no longer has them: found by comparison, and deleted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
import pyarrow as pa
import redis

from twinserve.features.feast_repo.online_view import OnlineView
from twinserve.features.materialization.lost_spans import FIRST, Lost
from twinserve.features.materialization.redis_writer import hash_names
from twinserve.features.materialization.staged_rows import StagedRows
from twinserve.features.redis.hash_scan import pages_of_hashes
from twinserve.features.redis.layout import decode_event_time, event_time_field, feature_field, without_mark
from twinserve.features.redis.value_encoding import encoded_times
from twinserve.features.stored_files.duck import DuckLimits, duck

PAGE = 1000
_HELD = pa.schema([("name", pa.binary()), ("stamp", pa.binary()), ("micros", pa.int64())])
# KEYS: hashes. ARGV: the event time's field, the number of other fields, these, then the event time of each hash
SCRIPT = """
local deleted, fields = 0, tonumber(ARGV[2])
for i = 1, #KEYS do
  if redis.call('HGET', KEYS[i], ARGV[1]) == ARGV[2 + fields + i] then
    for first = 1, fields, 1000 do
      redis.call('HDEL', KEYS[i], unpack(ARGV, 2 + first, 2 + math.min(first + 999, fields)))
    end
    redis.call('HDEL', KEYS[i], ARGV[1])
    deleted = deleted + 1
  end
end
return deleted
"""


def delete_lost_rows(
    client: redis.Redis, view: OnlineView, stored: StagedRows, lost: Lost, written: int, limits: DuckLimits
) -> int:
    """Delete the view's row of each key of which the offline store has none, or only an older one.

    The older one is written by whoever has staged it, since Redis then holds none. A row that is replaced in Redis
    meanwhile stays.

    Args:
        stored: the latest row of each key, of all files.
        lost: which rows of Redis to look at.
        written: the latest event time that was ever written from the offline store.

    Returns:
        Keys whose row was deleted.
    """
    with duck(limits) as connection:
        connection.execute(
            "CREATE TABLE stored (name BLOB, micros BIGINT); CREATE TABLE held (name BLOB, stamp BLOB, micros BIGINT)"
        )
        for batch in stored.batches(0):
            times = [decode_event_time(time) for time in encoded_times(batch[view.timestamp]).to_pylist()]
            _insert(
                connection, "stored", pa.table({"name": hash_names(view, batch), "micros": pa.array(times, pa.int64())})
            )
        (latest,) = connection.execute(f"SELECT coalesce(max(micros), {FIRST}) FROM stored").fetchall()[0]
        for page in _held(client, view, lost, max(written, latest)):
            _insert(connection, "held", page)
        connection.execute(
            "CREATE TABLE lost AS SELECT DISTINCT held.name, stamp FROM held LEFT JOIN stored USING (name) "
            "WHERE stored.micros IS NULL OR stored.micros < held.micros"
        )
        found = connection.execute("SELECT name, stamp FROM lost")
        return sum(_deleted(client, view, rows) for rows in iter(lambda: found.fetchmany(PAGE), []))


def _insert(connection: duckdb.DuckDBPyConnection, table: str, rows: pa.Table) -> None:
    connection.register("page", rows)
    connection.execute(f"INSERT INTO {table} FROM page")
    connection.unregister("page")


def _held(client: redis.Redis, view: OnlineView, lost: Lost, written: int) -> Iterator[pa.Table]:
    """Names, serialized event times and these in µs, of the view's rows that may be concerned."""
    for names in pages_of_hashes(client, view.project, {key: kind for key, (_, kind) in view.keys.items()}):
        with client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.execute_command("HGET", name, event_time_field(view.name))  # type: ignore[no-untyped-call]
            times: list[bytes | None] = pipe.execute()
        rows = [(name, time, _micros(time)) for name, time in zip(names, times, strict=True) if time is not None]
        concerned = [row for row in rows if row[2] is not None and lost.concerns(row[2], written)]
        yield pa.Table.from_pylist([dict(zip(_HELD.names, row, strict=True)) for row in concerned], _HELD)


def _micros(time: bytes) -> int | None:
    """None where it can't be read: reads of the key say so."""
    try:
        return decode_event_time(without_mark(time))
    except ValueError:
        return None


def _deleted(client: redis.Redis, view: OnlineView, rows: Sequence[tuple[Any, ...]]) -> int:
    fields = [feature_field(view.name, feature) for feature in view.features]
    names, stamps = [row[0] for row in rows], [row[1] for row in rows]
    words: list[Any] = [SCRIPT, len(names), *names, event_time_field(view.name), len(fields), *fields, *stamps]
    deleted: int = client.execute_command("EVAL", *words)  # type: ignore[no-untyped-call]
    return deleted
