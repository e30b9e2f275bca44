"""Chunks of rows to a real Redis: which row stays, how rows are cut, what is noted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twinserve.errors import TransientError
from twinserve.features.feast_repo.online_view import OnlineView
from twinserve.features.materialization.redis_writer import Note, write_rows
from twinserve.features.materialization.view_write import collect
from twinserve.features.redis.layout import decode_event_time, decode_value, event_time_field, feature_field, redis_key

pytestmark = pytest.mark.integration
NOTE = Note("twinserve:test", "run")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOMENTS = st.one_of(
    st.datetimes(datetime(1000, 1, 1), datetime(3000, 1, 1), timezones=st.just(UTC)),
    st.integers(-3_000_000, 3_000_000).map(lambda micros: EPOCH + timedelta(microseconds=micros)),
)


def view_of(features: dict[str, str], expiry: int = 0) -> OnlineView:
    columns = {name: (name, kind) for name, kind in features.items()}
    return OnlineView("shop", "sales", {"id": ("id", "INT64")}, columns, "at", None, expiry)


def batch(ids: list[int], moments: list[datetime], **columns: Any) -> pa.RecordBatch:
    times = pa.array(moments, pa.timestamp("us", tz="UTC"))
    return pa.RecordBatch.from_pydict({"id": pa.array(ids, pa.int64()), "at": times, **columns})


def name_of(key: int) -> bytes:
    return redis_key("shop", {"id": ("INT64", key)})


def write(client: redis.Redis, view: OnlineView, rows: pa.RecordBatch, done: int = 0) -> int:
    return write_rows(client, view, [rows], NOTE, done, lambda _: None).written


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pairs=st.lists(st.tuples(MOMENTS, MOMENTS), min_size=1, max_size=40))
def test_the_newer_of_two_rows_stays_before_1970_too(redis_url: str, pairs: list[tuple[datetime, datetime]]) -> None:
    view, ids = view_of({"x": "INT64"}), list(range(len(pairs)))
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        assert write(client, view, batch(ids, [first for first, _ in pairs], x=[1] * len(pairs))) == len(pairs)
        written = write(client, view, batch(ids, [second for _, second in pairs], x=[2] * len(pairs)))
        held: Any = [client.hgetall(name_of(key)) for key in ids]
    assert written == sum(second >= first for first, second in pairs)
    for (first, second), row in zip(pairs, held, strict=True):
        assert decode_event_time(row[event_time_field("sales")]) == (max(first, second) - EPOCH) // timedelta(
            microseconds=1
        )
        assert decode_value(row[feature_field("sales", "x")]) == (2 if second >= first else 1)


def test_the_same_row_is_not_written_and_a_correction_is(redis_url: str) -> None:
    view = view_of({"x": "INT64", "y": "STRING"})
    with redis.Redis.from_url(redis_url) as client:
        assert write(client, view, batch([1, 2], [EPOCH, EPOCH], x=[1, 1], y=["a", None])) == 2
        assert write(client, view, batch([1, 2], [EPOCH, EPOCH], x=[1, 1], y=["a", None])) == 0
        assert write(client, view, batch([1, 2], [EPOCH, EPOCH], x=[1, 1], y=["a", "b"])) == 1


def test_a_view_may_have_thousands_of_features(redis_url: str) -> None:
    names = [f"f{number}" for number in range(2_500)]
    view = view_of(dict.fromkeys(names, "INT64"))
    columns: dict[str, Any] = {name: [number, -number] for number, name in enumerate(names)}
    with redis.Redis.from_url(redis_url) as client:
        assert write(client, view, batch([1, 2], [EPOCH, EPOCH], **columns)) == 2
        assert write(client, view, batch([1, 2], [EPOCH, EPOCH], **columns)) == 0
        assert write(client, view, batch([1, 2], [EPOCH, EPOCH], **{**columns, "f2499": [2499, 7]})) == 1
        held: Any = client.hgetall(name_of(2))
    assert len(held) == 2_501
    found = [decode_value(held[feature_field("sales", name)]) for name in names]
    assert found == [*(-number for number in range(2_499)), 7]


def test_heavy_rows_are_cut_by_their_weight(redis_url: str) -> None:
    sizes: list[int] = []
    rows = batch(list(range(40)), [EPOCH] * 40, x=[b"\0" * 300_000] * 39 + [b"\0" * 6_000_000])
    with redis.Redis.from_url(redis_url) as client:
        write_rows(client, view_of({"x": "BYTES"}), [rows], NOTE, 0, sizes.append)
        assert client.dbsize() == 41
    assert sizes == [13, 13, 13, 1]


def test_rows_are_cut_at_five_hundred_and_counted_over_batches(redis_url: str) -> None:
    sizes: list[int] = []
    rows = [batch(list(range(first, first + 700)), [EPOCH] * 700, x=[1] * 700) for first in (0, 700)]
    with redis.Redis.from_url(redis_url) as client:
        write_rows(client, view_of({"x": "INT64"}), rows, NOTE, 0, sizes.append)
        assert NOTE.rows(client) == 1_400
        assert Note(NOTE.key, "another run").rows(client) == 0
    assert sizes == [500, 200, 500, 200]


def test_a_key_that_is_written_lives_for_the_time_of_its_store(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        write(client, view_of({"x": "INT64"}, expiry=90), batch([1], [EPOCH], x=[1]))
        assert 80 < client.ttl(name_of(1)) <= 90


def test_a_view_without_features_keeps_event_times(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert write(client, view_of({}), batch([1], [EPOCH + timedelta(days=1)])) == 1
        assert client.hkeys(name_of(1)) == [event_time_field("sales")]


def test_nothing_to_write_asks_nothing(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert write(client, view_of({"x": "INT64"}), batch([], [], x=pa.array([], pa.int64()))) == 0
        assert client.dbsize() == 0


def test_rows_too_wide_for_little_memory_are_collected_with_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    names = [f"f{number}" for number in range(60)]
    columns = {"id": np.arange(20_000), "at": np.full(20_000, 0, "datetime64[us]")}
    table = pa.table({**columns, **{name: np.random.default_rng(1).normal(size=20_000) for name in names}})
    pq.write_table(table, tmp_path / "wide.parquet")
    monkeypatch.setattr("twinserve.features.materialization.view_write.MEMORY", 8 << 20)
    view, paths = view_of(dict.fromkeys(names, "DOUBLE")), [tmp_path / "wide.parquet"]
    with pytest.raises(TransientError, match="out of memory"):
        collect(
            tmp_path / "staged.parquet", "request", view, paths, "true", files={}, otherwise="ahead", memory=8 << 20
        )
    with caplog.at_level("INFO"):
        staged = collect(tmp_path / "staged.parquet", "request", view, paths, "true", files={}, otherwise="ahead")
    assert staged.rows == sum(batch.num_rows for batch in staged.batches(0)) == 20_000
    assert "need more than 8 MB" in caplog.text
    assert sum(batch.num_rows for batch in staged.batches(19_990)) == 10
