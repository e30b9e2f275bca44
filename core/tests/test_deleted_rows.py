"""Keys that were deleted at the source: from then on unknown in batch and online, before as they were."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import redis

from twinserve.contract import Contract, MissingPolicy, Output, Tolerance, build_contract
from twinserve.errors import BadInput
from twinserve.features.feast_repo.service import describe_service
from twinserve.features.feast_repo.store import apply_definitions, open_store
from twinserve.features.materialization.materialize import ViewResult, materialize
from twinserve.features.online import open_reader
from twinserve.features.online_store.feature_reader import FeatureReader, OnlineRows
from twinserve.features.redis.layout import event_time_field, redis_key
from twinserve.features.stored_files.deleted_rows import DELETED
from twinserve.missing import Status
from twinserve.settings import Settings

pytestmark = pytest.mark.integration
NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
Repo = Callable[..., Path]
PRESENT, UNKNOWN = Status.PRESENT, Status.UNKNOWN
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


class Shop:
    """The two stores of the view `sales`."""

    def __init__(self, settings: Settings, url: str) -> None:
        self.settings, self.url = settings, url
        self.client: Any = redis.Redis.from_url(url)

    def store(self, days: float, revenue: dict[int, float | None]) -> None:
        """All rows of a day; None: the store was deleted then."""
        at = NOW - days * DAY
        file = self.settings.offline_store / "sales" / f"day={at:%Y-%m-%d}" / "part-0.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        rows = self.rows(days, revenue)
        gone = rows["revenue"].isna()
        if gone.any():
            # features of a deleted row must not count, whatever they are
            rows = rows.assign(**{DELETED: gone.where(gone).astype("boolean")}).fillna({"revenue": 66})
        rows.to_parquet(file, index=False)

    def rows(self, days: float, revenue: dict[int, float | None]) -> pd.DataFrame:
        moments = pd.Series([NOW - days * DAY] * len(revenue), dtype="datetime64[us, UTC]")
        values = pd.array(list(revenue.values()), dtype="Float32")
        return pd.DataFrame(
            {"store_id": list(revenue), "revenue": values, "event_timestamp": moments, "created": moments}
        )

    def push(self, days: float, revenue: dict[int, float | None]) -> None:
        open_store(self.settings, self.url).write_to_online_store("sales", self.rows(days, revenue))

    def materialize(self, *, full: bool = False) -> ViewResult:
        (result,) = materialize(self.settings, self.url, timedelta(0), full=full)
        return result

    def batch(self, days: float, *keys: int) -> list[float | None]:
        asked = pd.DataFrame({"store_id": keys, "event_timestamp": [NOW - days * DAY] * len(keys)})
        job = open_store(self.settings, self.url).get_historical_features(asked, ["sales:revenue"])
        values = dict(zip(*(job.to_arrow()[name].to_pylist() for name in ("store_id", "revenue")), strict=True))
        return [values[key] for key in keys]

    def contract(self) -> Contract:
        return build_contract(
            describe_service(open_store(self.settings, self.url), "store_ranking"),
            output=Output(method="predict", target="sold", meaning="sales"),
            missing=MissingPolicy(null="pass_as_nan"),
            tolerance=Tolerance(absolute=0, relative=0, why="test"),
            libraries={},
            golden=(),
        )

    async def read(self, reader: FeatureReader, *keys: int) -> OnlineRows:
        rows = await reader.read({"store_id": keys}, int(datetime.now(UTC).timestamp() * 1e6))
        await reader.close()
        return rows

    async def statuses(self, *keys: int) -> list[Status]:
        """What a running service reads; a deleted key is no change of the definitions."""
        rows = await self.read(open_reader(self.contract(), self.settings, self.url, seconds=5), *keys)
        assert rows.absent == ()
        return [Status(cell) for cell in rows.status[:, 0].tolist()]

    def sdk(self, *keys: int) -> list[float | None]:
        answer = open_store(self.settings, self.url).get_online_features(
            ["sales:revenue"], [{"store_id": key} for key in keys]
        )
        found: list[float | None] = answer.to_dict()["revenue"]
        return found


@pytest.fixture
def shop(settings: Settings, feature_repo: Repo, redis_url: str) -> Shop:
    """Stores 1 to 3, the second deleted three days ago."""
    feature_repo(ttl=30 * DAY)
    apply_definitions(settings, redis_url)
    shop = Shop(settings, redis_url)
    shop.store(9, {1: 1.0, 2: 2.0, 3: 3.0})
    shop.store(3, {1: 10.0, 2: None})
    shop.materialize()
    return shop


async def test_a_deleted_key_is_unknown_in_both_twins_from_then_on(shop: Shop) -> None:
    assert shop.batch(4, 1, 2, 3) == [1, 2, 3], "before, as it was"
    assert shop.batch(3, 1, 2, 3) == shop.batch(0, 1, 2, 3) == [10, None, 3]
    assert await shop.statuses(1, 2, 3) == [PRESENT, UNKNOWN, PRESENT]
    assert shop.sdk(1, 2, 3) == [10, None, 3], "Feast reads the marked event time"
    held = shop.client.hkeys(redis_key("shop", {"store_id": ("INT64", 2)}))
    assert held == [event_time_field("sales")], "no value of it is left"


async def test_an_older_row_that_comes_later_does_not_bring_it_back(shop: Shop) -> None:
    shop.store(5, {2: 22.0})
    shop.materialize()
    assert shop.batch(0, 2) == [None]
    assert await shop.statuses(2) == [UNKNOWN]


async def test_a_newer_row_does(shop: Shop) -> None:
    shop.store(1, {2: 222.0})
    shop.materialize()
    assert shop.batch(0, 2) == [222]
    assert await shop.statuses(2) == [PRESENT]
    shop.store(0, {2: None})
    shop.materialize()
    assert shop.batch(0, 2) == [None]
    assert await shop.statuses(2) == [UNKNOWN]
    shop.push(-0.0001, {2: 2222.0})
    assert shop.sdk(2) == [2222], "Feast's own writer takes the marked time for what it is"


async def test_a_deletion_taken_back_at_the_source_is_a_correction(shop: Shop) -> None:
    shop.store(3, {1: 10.0, 2: 20.0})
    assert shop.materialize().written == 1
    assert shop.batch(0, 2) == [20]
    assert await shop.statuses(2) == [PRESENT]
    shop.store(3, {1: 10.0, 2: None})
    assert shop.materialize().written == 1
    assert await shop.statuses(2) == [UNKNOWN]
    assert shop.materialize().written == 0


async def test_where_the_deletion_itself_is_gone_the_row_before_it_counts(shop: Shop) -> None:
    shop.store(3, {1: 10.0})
    assert shop.materialize().removed == 1
    assert shop.batch(0, 2) == [2]
    assert await shop.statuses(2) == [PRESENT]


def test_keys_deleted_by_mark_are_counted_among_those_written(shop: Shop) -> None:
    shop.store(1, {1: None, 3: None, 4: 4.0})
    result = shop.materialize()
    assert (result.written, result.deleted, result.removed) == (3, 2, 0)
    assert shop.materialize(full=True).deleted == 0, "they are deleted already"
    shop.store(1, {1: None, 3: 3.5, 4: 4.0})
    result = shop.materialize()
    assert (result.written, result.deleted) == (1, 0)


def test_a_key_that_loses_its_latest_row_and_has_an_older_one_is_removed_and_written(shop: Shop) -> None:
    """Both count it: the row that nobody has any more goes, and the one before it comes."""
    shop.store(3, {2: None})
    result = shop.materialize()
    assert (result.written, result.removed, result.deleted) == (1, 1, 0)
    assert shop.sdk(1) == [1]


async def test_a_key_deleted_long_ago_is_unknown_not_stale(shop: Shop) -> None:
    shop.store(40, {1: 4.0, 4: None})
    shop.materialize()
    assert await shop.statuses(4) == [UNKNOWN]


def test_features_without_entity_rows_leave_it_out(shop: Shop) -> None:
    found = open_store(shop.settings, shop.url).get_historical_features(None, ["sales:revenue"], end_date=NOW).to_df()
    assert sorted(found["store_id"]) == [1, 3]


def test_what_feasts_engine_pulls_has_no_deleted_row(shop: Shop) -> None:
    store = open_store(shop.settings, shop.url)
    view = store.get_feature_view("sales")
    asked = [["store_id"], ["revenue"], "event_timestamp", "created", NOW - 30 * DAY, NOW]
    provider = store._get_provider().offline_store
    latest = provider.pull_latest_from_table_or_query(store.config, view.batch_source, *asked).to_arrow()
    every = provider.pull_all_from_table_or_query(store.config, view.batch_source, *asked).to_arrow()
    assert sorted(latest["store_id"].to_pylist()) == [1, 3]
    assert sorted(every["store_id"].to_pylist()) == [1, 1, 2, 3]
    assert DELETED not in latest.column_names + every.column_names


def test_rows_are_pushed_to_both_stores_after_a_deletion(shop: Shop) -> None:
    """Feast holds what is pushed against the columns of the newest file."""
    store = open_store(shop.settings, shop.url)
    pushed = shop.rows(1, {2: 7.0})
    store.write_to_offline_store("sales", pushed)
    store.write_to_online_store("sales", pushed)
    assert shop.batch(0, 1, 2) == shop.sdk(1, 2) == [10, 7]


def test_a_view_that_lists_no_features_takes_the_mark_for_none(shop: Shop, feature_repo: Repo) -> None:
    schema = '    schema=[Field(name="store_id", dtype=Int64), Field(name="revenue", dtype=Float32)],\n'
    assert schema in DEFINITIONS
    feature_repo(ttl=30 * DAY, definitions=DEFINITIONS.replace(schema, ""))
    apply_definitions(shop.settings, shop.url)
    view = open_store(shop.settings, shop.url).get_feature_view("sales")
    assert [feature.name for feature in view.features] == ["revenue"]


def test_a_store_that_feasts_engine_writes_is_refused_as_it_deletes_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = shop.settings.feature_repo / "feature_store.yaml"
    text = store.read_text(encoding="utf-8")
    sqlite = re.sub("online_store: .*", "online_store: {type: sqlite, path: online.db}", text)
    assert sqlite != text
    store.write_text(sqlite, encoding="utf-8")
    with pytest.raises(BadInput, match="keys of sales were deleted"):
        shop.materialize()
