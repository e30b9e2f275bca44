"""What the offline store no longer has is not scored online: day files that are gone, rows that were taken out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis

from twinserve.errors import BadInput, TransientError
from twinserve.features.day_files import DayFileMemory
from twinserve.features.file_sizes import with_deletions
from twinserve.features.lost_rows import WHOLE, Lost
from twinserve.features.materialize import ViewResult, materialize
from twinserve.features.online_view import online_view
from twinserve.features.redis_layout import redis_key
from twinserve.features.store import apply_definitions, open_store
from twinserve.settings import Settings

pytestmark = pytest.mark.integration
NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
Repo = Callable[..., Path]
DEFINITIONS = """\
from datetime import timedelta
from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.types import Float32, Int64
from twinserve.features.sources import offline_source

store = Entity(name="store", join_keys=["store_id"], value_type=ValueType.INT64)
sales = FeatureView(
    name="sales", entities=[store], ttl={ttl}, source=offline_source("sales"),
    schema=[Field(name="store_id", dtype=Int64), Field(name="revenue", dtype=Float32)],
)
service = FeatureService(name="store_ranking", features=[sales])
"""


class Twins:
    """The two stores of one view."""

    def __init__(self, settings: Settings, url: str) -> None:
        self.settings, self.url = settings, url
        self.client: Any = redis.Redis.from_url(url)

    def file(self, days: int) -> Path:
        return self.settings.offline_store / "sales" / f"day={NOW - days * DAY:%Y-%m-%d}" / "part-0.parquet"

    def store(self, days: int, revenue: dict[int, float]) -> None:
        """All rows of a day; without any, no file."""
        self.file(days).parent.mkdir(parents=True, exist_ok=True)
        if revenue:
            self.rows(days, revenue).to_parquet(self.file(days), index=False)
        else:
            self.file(days).unlink()

    def rows(self, days: float, revenue: dict[int, float]) -> pd.DataFrame:
        moments = pd.Series([NOW - days * DAY] * len(revenue), dtype="datetime64[us, UTC]")
        return pd.DataFrame(
            {
                "store_id": list(revenue),
                "revenue": pd.array(list(revenue.values()), dtype="Float32"),
                "event_timestamp": moments,
                "created": moments,
            }
        )

    def push(self, days: float, revenue: dict[int, float]) -> None:
        open_store(self.settings, self.url).write_to_online_store("sales", self.rows(days, revenue))

    def materialize(self, *, full: bool = False) -> ViewResult:
        (result,) = materialize(self.settings, self.url, timedelta(0), full=full)
        return result

    def online(self, *keys: int) -> list[float | None]:
        answer = open_store(self.settings, self.url).get_online_features(
            ["sales:revenue"], [{"store_id": key} for key in keys]
        )
        found: list[float | None] = answer.to_dict()["revenue"]
        return found

    def batch(self, *keys: int) -> list[float | None]:
        asked = pd.DataFrame({"store_id": keys, "event_timestamp": [datetime.now(UTC)] * len(keys)})
        job = open_store(self.settings, self.url).get_historical_features(asked, ["sales:revenue"])
        values = dict(zip(*(job.to_arrow()[name].to_pylist() for name in ("store_id", "revenue")), strict=True))
        return [values[key] for key in keys]

    def agree(self, *expected: float | None) -> None:
        """On the stores 1, 2, 3, …."""
        keys = range(1, len(expected) + 1)
        assert self.batch(*keys) == list(expected)
        assert self.online(*keys) == list(expected)


@pytest.fixture
def twins(settings: Settings, feature_repo: Repo, redis_url: str) -> Twins:
    """Stores 1 to 3, rows of three days, materialized."""
    feature_repo(ttl=30 * DAY)
    apply_definitions(settings, redis_url)
    twins = Twins(settings, redis_url)
    twins.store(9, {1: 1.0, 2: 2.0, 3: 3.0})
    twins.store(6, {1: 10.0, 2: 20.0})
    twins.store(3, {1: 100.0})
    twins.materialize()
    twins.agree(100, 20, 3)
    return twins


def test_a_row_that_was_taken_out_of_a_day_gives_way_to_the_one_before_it(twins: Twins) -> None:
    twins.store(6, {1: 10.0})
    assert twins.materialize().removed == 1
    twins.agree(100, 2, 3)


def test_an_entity_that_was_erased_offline_is_unknown_online(twins: Twins) -> None:
    twins.store(9, {1: 1.0, 2: 2.0})
    assert twins.materialize().removed == 1
    twins.agree(100, 20, None)
    assert not twins.client.exists(redis_key("shop", {"store_id": ("INT64", 3)}))
    assert twins.materialize().removed == 0


def test_a_day_that_is_gone_takes_its_rows_along(twins: Twins) -> None:
    twins.store(3, {})
    twins.store(6, {})
    assert twins.materialize().removed == 2
    twins.agree(1, 2, 3)


def test_an_equal_number_of_other_rows_is_found_by_a_full_comparison(twins: Twins) -> None:
    twins.store(6, {1: 10.0, 4: 40.0})
    twins.materialize()
    assert twins.online(2) == [20], "as many rows as before: nobody looks"
    assert twins.materialize(full=True).removed == 1
    twins.agree(100, 2, 3, 40)


def test_a_file_that_says_that_rows_were_deleted_is_compared_whatever_its_rows(twins: Twins) -> None:
    rows = pa.Table.from_pandas(twins.rows(6, {1: 10.0, 4: 40.0}), preserve_index=False)
    pq.write_table(with_deletions(rows, 1), twins.file(6))
    assert twins.materialize().removed == 1
    twins.agree(100, 2, 3, 40)
    assert twins.materialize().removed == 0


def test_what_a_stream_has_pushed_stays(twins: Twins) -> None:
    twins.push(0.01, {2: 21.0, 50: 5.0})
    twins.push(4, {51: 6.0})
    twins.store(6, {1: 10.0})
    assert twins.materialize().removed == 0, "store 2 has a newer row, 51 is of another day"
    assert twins.online(2, 50, 51) == [21, 5, 6]
    assert twins.materialize(full=True).removed == 1
    assert twins.online(2, 50, 51) == [21, 5, None], "later than all that is stored: not yet heard of; 51 is erased"


@pytest.mark.parametrize("gone", [False, True], ids=["fewer rows", "no file"])
def test_of_a_day_that_lost_rows_what_was_pushed_for_later_than_the_day_had_stays(twins: Twins, *, gone: bool) -> None:
    noon = NOW.replace(hour=12, minute=0, second=0) - 6 * DAY
    later, earlier = ((NOW - moment) / DAY for moment in (noon + timedelta(hours=1), noon - timedelta(hours=1)))
    rows = twins.rows(6, {1: 10.0, 2: 20.0})
    rows["event_timestamp"] = noon
    rows.to_parquet(twins.file(6), index=False)
    twins.materialize()
    twins.push(later, {50: 5.0})
    twins.push(earlier, {51: 6.0})
    if gone:
        twins.store(6, {})
    else:
        rows[:1].to_parquet(twins.file(6), index=False)
    assert twins.materialize().removed == 2
    twins.agree(100, 2, 3)
    assert twins.online(50, 51) == [5, None], "the day had nothing as late; of 51 nobody knows that it was pushed"


def test_a_run_that_is_killed_before_it_deletes_leaves_that_to_the_next(
    twins: Twins, monkeypatch: pytest.MonkeyPatch
) -> None:
    twins.store(6, {1: 10.0})
    with monkeypatch.context() as patch:
        patch.setattr("twinserve.features.materialize.delete_lost_rows", _killed)
        with pytest.raises(KeyboardInterrupt):
            twins.materialize()
    assert twins.materialize().removed == 1
    twins.agree(100, 2, 3)


def _killed(*_: object) -> int:
    raise KeyboardInterrupt


def test_files_remembered_by_an_older_version_are_known_still(twins: Twins) -> None:
    names = twins.client.hgetall("twinserve:materialized:shop:sales")
    for name, text in names.items():
        twins.client.hset("twinserve:materialized:shop:sales", name, text.partition(b" ")[0])
    result = twins.materialize()
    assert (result.files_read, result.removed) == (0, 0)
    twins.store(6, {1: 10.0})
    assert twins.materialize().removed == 1, "they have been counted meanwhile"
    twins.agree(100, 2, 3)


def test_a_comparison_that_nobody_would_make_is_refused(twins: Twins, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twinserve.features.materialize.is_single_redis", lambda *_: False)  # a cluster
    with pytest.raises(BadInput, match="--full can't compare sales"):
        twins.materialize(full=True)


def test_what_is_lost_is_kept_as_text(twins: Twins) -> None:
    day = NOW.date()
    for lost in (Lost(), Lost({day: 5, day - DAY: WHOLE}), Lost({day: -5}, everything=True)):
        assert Lost.from_text(lost.to_text()) == lost
    assert not Lost()
    assert Lost({day: 5}) | Lost({day: 7, day - DAY: 1}) == Lost({day: 7, day - DAY: 1})
    assert Lost.from_text(f"all {day}") == Lost({day: WHOLE}, everything=True), "as an earlier version noted it"
    store = open_store(twins.settings, twins.url)
    memory = DayFileMemory(twins.client, online_view(store.get_feature_view("sales"), store.config))
    memory.note_lost(Lost({day: 5}))
    assert memory.lost(dict.fromkeys(memory.known())) == Lost({day: 5})
    memory.note_lost(Lost())
    assert memory.lost(dict.fromkeys(memory.known())) == Lost()


def test_a_redis_that_is_gone_is_transient(twins: Twins) -> None:
    with pytest.raises(TransientError):
        materialize(twins.settings, "redis://127.0.0.1:1/0", full=True)


def test_a_feature_that_no_file_has_is_named(twins: Twins) -> None:
    for days in (9, 6, 3):
        pd.read_parquet(twins.file(days)).rename(columns={"revenue": "income"}).to_parquet(twins.file(days))
    with pytest.raises(BadInput, match="feature view sales: no file that is needed has a column revenue"):
        twins.materialize()
