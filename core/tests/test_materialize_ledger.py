"""Every row that materialize reads is accounted for, and every key that it sends; a run that is not even fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis

from twinserve.errors import TransientError
from twinserve.features.feast_repo.store import apply_definitions
from twinserve.features.materialization import redis_writer
from twinserve.features.materialization import view_write as online_write
from twinserve.features.materialization.materialize import materialize
from twinserve.features.materialization.staged_rows import StagedRows, stage_rows
from twinserve.features.redis.layout import redis_key
from twinserve.settings import Settings
from twinserve.steps.ledger import LedgerMismatch

pytestmark = pytest.mark.integration
NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
Row = tuple[int | None, float | None, float]  # store, days ago, revenue
DEFINITIONS = """\
from datetime import timedelta
from feast import Entity, FeatureView, Field, ValueType
from feast.types import Float64, Int64
from twinserve.features.sources import offline_source

store = Entity(name="store", join_keys=["store_id"], value_type=ValueType.INT64)
sales = FeatureView(
    name="sales", entities=[store], ttl={ttl}, source=offline_source("sales"),
    schema=[Field(name="store_id", dtype=Int64), Field(name="revenue", dtype=Float64)],
)
"""


class Sales:
    """One view, its files and its rows in Redis."""

    def __init__(self, settings: Settings, url: str, client: Any) -> None:
        self.settings, self.url, self.client = settings, url, client

    def file(self, name: str, *rows: Row) -> Path:
        times = [None if days is None else NOW - days * DAY for _, days, _ in rows]
        moments = pa.array(times, pa.timestamp("us", tz="UTC"))
        table = pa.table(
            {
                "store_id": pa.array([key for key, _, _ in rows], pa.int64()),
                "revenue": pa.array([revenue for *_, revenue in rows], pa.float64()),
                "event_timestamp": moments,
                "created": moments,
            }
        )
        file = self.settings.offline_store / "sales" / name / "part-0.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, file)
        return file

    def run(self, *, full: bool = False) -> dict[str, Any]:
        (result,) = materialize(self.settings, self.url, timedelta(0), full=full)
        assert result.ledger is not None
        return result.ledger

    def holds(self, key: int) -> bool:
        return bool(self.client.exists(redis_key("shop", {"store_id": ("INT64", key)})))


@pytest.fixture
def sales(settings: Settings, feature_repo: Callable[..., Path], redis_url: str) -> Iterator[Sales]:
    feature_repo(ttl=30 * DAY)
    apply_definitions(settings, redis_url)
    with redis.Redis.from_url(redis_url) as client:
        yield Sales(settings, redis_url, client)


def test_rows_are_staged_or_left_out_by_a_rule(sales: Sales) -> None:
    sales.file("a", (1, 3, 1.0), (1, 2, 2.0), (2, 2, 2.0), (None, 2, 3.0), (3, -1, 4.0))
    sales.file("b", (1, 2, 5.0), (4, None, 6.0), (None, None, 7.0), (None, -1, 8.0))
    ignored = {"older_row": 2, "ahead": 2, "no_key_or_time": 3}
    assert sales.run()["rows"] == {"seen": 9, "keys": 2, "ignored": ignored}
    assert sales.run()["rows"] == {"seen": 9, "keys": 2, "ignored": ignored}, "a file with rows for later is read again"


def test_keys_are_written_or_redis_has_them(sales: Sales) -> None:
    sales.file("a", (1, 5, 1.0), (2, 5, 2.0), (3, 5, 3.0))
    none = {"as_stored": 0, "newer_online": 0}
    assert sales.run()["keys"] == {"seen": 3, "written": 3, "resumed": 0, "ignored": none}
    sales.file("b", (1, 4, 1.5))
    assert sales.run()["keys"] == {"seen": 1, "written": 1, "resumed": 0, "ignored": none}
    sales.file("a", (1, 5, 1.0), (2, 5, 2.5), (3, 5, 3.0))
    ignored = {"as_stored": 1, "newer_online": 1}
    assert sales.run()["keys"] == {"seen": 3, "written": 1, "resumed": 0, "ignored": ignored}
    nothing = sales.run()
    assert nothing["keys"] == {"seen": 0, "written": 0, "resumed": 0, "ignored": none}
    assert nothing["rows"] == {"seen": 0, "keys": 0, "ignored": {}}
    assert sales.run(full=True)["keys"]["ignored"] == {"as_stored": 3, "newer_online": 0}


def test_a_run_that_goes_on_from_a_killed_one_counts_what_that_one_wrote(
    sales: Sales, monkeypatch: pytest.MonkeyPatch
) -> None:
    sales.file("a", *((key, 5, 1.0) for key in range(1_200)))
    monkeypatch.setattr(redis_writer, "AHEAD", 1)
    with monkeypatch.context() as patch:
        patch.setattr(redis_writer.Told, "and_of", _killed_at_the_second(redis_writer.Told.and_of))
        with pytest.raises(KeyboardInterrupt):
            sales.run()
    ledger = sales.run()
    assert ledger["rows"]["seen"] == 1_200
    assert ledger["keys"]["resumed"] >= 500
    assert ledger["keys"]["resumed"] + ledger["keys"]["written"] == 1_200


def _killed_at_the_second(and_of: Callable[..., Any]) -> Callable[..., Any]:
    def stopping(told: Any, other: Any) -> Any:
        if told.written:
            raise KeyboardInterrupt
        return and_of(told, other)

    return stopping


def test_a_key_that_went_astray_on_the_way_fails_the_run_before_it_writes(
    sales: Sales, monkeypatch: pytest.MonkeyPatch
) -> None:
    sales.file("a", (1, 5, 1.0), (2, 5, 2.0), (2, 6, 2.0))
    latest = online_write._latest
    with monkeypatch.context() as patch:
        patch.setattr(online_write, "_latest", lambda *given: f'SELECT * FROM ({latest(*given)}) WHERE "store_id" <> 2')
        with pytest.raises(LedgerMismatch, match="sales was given 3 rows and accounts for 1"):
            sales.run()
        assert not sales.holds(1)
    assert sales.run()["keys"]["written"] == 2


def test_a_key_of_which_redis_says_nothing_fails_the_run(sales: Sales, monkeypatch: pytest.MonkeyPatch) -> None:
    sales.file("a", (1, 5, 1.0), (2, 5, 2.0))
    script = redis_writer.SCRIPT.replace(b"for i = 2, #KEYS do", b"for i = 2, #KEYS - 1 do")
    with monkeypatch.context() as patch:
        patch.setattr(redis_writer, "SCRIPT", script)
        with pytest.raises(LedgerMismatch, match="sales was given 2 rows and accounts for 1"):
            sales.run()


def test_a_file_that_is_replaced_meanwhile_is_read_anew(sales: Sales, monkeypatch: pytest.MonkeyPatch) -> None:
    sales.file("a", (1, 5, 1.0))
    pushed = iter([[(1, 5, 1.0), (2, 5, 2.0)], [(1, 5, 1.0), (2, 5, 2.0), (3, 5, 3.0)]])

    def pushing(*given: Any) -> StagedRows:
        if rows := next(pushed, None):
            sales.file("a", *rows)
        return stage_rows(*given)

    monkeypatch.setattr(online_write, "stage_rows", pushing)
    assert sales.run()["rows"] == {
        "seen": 3,
        "keys": 3,
        "ignored": {"older_row": 0, "ahead": 0, "no_key_or_time": 0},
    }


def test_files_that_are_replaced_time_and_again_are_tried_later(sales: Sales, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[Row] = [(1, 5, 1.0)]
    sales.file("a", *rows)

    def pushing(*given: Any) -> StagedRows:
        rows.append((len(rows) + 1, 5, 1.0))
        sales.file("a", *rows)
        return stage_rows(*given)

    monkeypatch.setattr(online_write, "stage_rows", pushing)
    with pytest.raises(TransientError, match="sales were replaced"):
        sales.run()
    assert not sales.holds(1)
