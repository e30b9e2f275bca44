"""Reading through Feast's SDK: the same answers as from Redis, whatever the store; and how the store is chosen."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from twinserve.contract import Contract, MissingPolicy, Output, Tolerance, build_contract
from twinserve.errors import TransientError
from twinserve.features.feast_repo.online_store_kind import way_to_read
from twinserve.features.feast_repo.service import describe_service
from twinserve.features.feast_repo.store import apply_definitions, open_store
from twinserve.features.online import open_reader
from twinserve.features.online_store.feast_reader import FeastReader
from twinserve.features.online_store.redis_cluster import ClusterLink
from twinserve.features.online_store.redis_reader import RedisReader
from twinserve.settings import Settings

pytestmark = pytest.mark.integration
NOW = datetime(2026, 5, 1, tzinfo=UTC)
ASKED = int(NOW.timestamp()) * 1_000_000
DEFINITIONS = """\
from datetime import timedelta
from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.types import Float64, Int64, String
from twinserve.features.sources import offline_source

store = Entity(name="store", join_keys=["store_id"], value_type=ValueType.INT64)
city = Entity(name="city", join_keys=["city"], value_type=ValueType.STRING)
sales = FeatureView(
    name="sales", entities=[store], ttl=timedelta(hours=1), source=offline_source("sales"),
    schema=[Field(name="store_id", dtype=Int64), Field(name="revenue", dtype=Float64), Field(name="n", dtype=Int64)],
)
weather = FeatureView(
    name="weather", entities=[city], source=offline_source("weather"),
    schema=[Field(name="city", dtype=String), Field(name="rain", dtype=Float64)],
)
service = FeatureService(name="ranking", features=[weather, sales])
"""
KEYS: dict[str, Any] = {"store_id": [1, 2, 3, 4, 1], "city": ["Rome", "Oslo", "Rome", "Oslo", ""]}
EXPECTED = [[1.5, 2.5, 7], [np.nan, 3.5, 8], [1.5, np.nan, 9], [np.nan, np.nan, np.nan], [np.nan, 2.5, 7]]
STATUS = [[0, 0, 0], [3, 2, 2], [0, 1, 0], [3, 3, 3], [3, 0, 0]]


def fill(store: Any) -> None:
    times = [NOW, NOW - timedelta(hours=2), NOW]
    sales = {"store_id": [1, 2, 3], "revenue": [2.5, 3.5, None], "n": [7, 8, 9], "event_timestamp": times}
    store.write_to_online_store("sales", pd.DataFrame({**sales, "created": times}))
    weather = {"city": ["Rome"], "rain": [1.5], "event_timestamp": [NOW], "created": [NOW]}
    store.write_to_online_store("weather", pd.DataFrame(weather))


@pytest.fixture(params=["redis", "sqlite"])
def opened(
    settings: Settings, feature_repo: Callable[..., Path], redis_url: str, request: pytest.FixtureRequest
) -> tuple[Settings, str, Contract]:
    """A filled store of each kind, and a contract over it."""
    file = feature_repo() / "feature_store.yaml"
    if request.param == "sqlite":
        text = file.read_text().replace('{type: redis, connection_string: "${TWINSERVE_FEAST_REDIS}"}', "STORE")
        text = text.replace("batch_engine: {type: twinserve.features.batch_engine.RedisBatchEngine}\n", "")
        file.write_text(text.replace("STORE", f"{{type: sqlite, path: {settings.home / 'online.db'}}}"))
    apply_definitions(settings, redis_url)
    store = open_store(settings, redis_url)
    fill(store)
    contract = build_contract(
        describe_service(store, "ranking"),
        output=Output(method="predict", target="sold", meaning="sales"),
        missing=MissingPolicy(),
        tolerance=Tolerance(absolute=0, relative=0, why="test"),
        libraries={},
        golden=(),
    )
    return settings, redis_url, contract


async def test_any_store_gives_the_same(opened: tuple[Settings, str, Contract]) -> None:
    settings, url, contract = opened
    chosen = open_reader(contract, settings, url, seconds=30)
    slow = FeastReader(contract, lambda: open_store(settings, url), 30)
    assert isinstance(chosen, RedisReader | FeastReader)
    for reader in (chosen, slow):
        rows = await reader.read(KEYS, ASKED)
        np.testing.assert_array_equal(rows.values, EXPECTED)
        assert (rows.status.tolist(), rows.complete) == (STATUS, False)
        assert (await reader.read({"store_id": [1], "city": ["Rome"]}, ASKED)).complete
        assert (await reader.read({"store_id": [], "city": []}, ASKED)).values.shape == (0, 3)
        with pytest.raises(ValueError, match="out of the range of INT64"):
            await reader.read({"store_id": [2**63], "city": ["Rome"]}, ASKED)
        await reader.close()
        with pytest.raises(TransientError):
            await reader.read(KEYS, ASKED)


async def test_a_store_that_hangs_or_fails(build: Callable[..., Contract]) -> None:
    hang = threading.Event()

    def hanging() -> Any:
        hang.wait(20)
        raise ConnectionError("gone")

    hasty, patient = (FeastReader(build(), hanging, seconds) for seconds in (0.05, 20))
    try:
        with pytest.raises(TransientError, match="in time"):
            await hasty.read({"store_id": [1]}, ASKED)
        reads = [asyncio.create_task(patient.read({"store_id": [1]}, ASKED)) for _ in range(70)]
        await asyncio.sleep(0.1)
        assert sum(task.done() for task in reads) == 6, "64 wait, the others were refused at once"
    finally:
        hang.set()
    outcomes = await asyncio.gather(*reads, return_exceptions=True)
    assert {type(each) for each in outcomes} == {TransientError}
    assert sum("gone" in str(each) for each in outcomes) == 64
    await hasty.close()
    await patient.close()


CLASS = "feast.infra.online_stores.redis.RedisOnlineStore"


@pytest.mark.parametrize(
    ("config", "way"),
    [
        ({"online_store": {"type": "redis"}}, "redis"),
        ({"online_store": "redis"}, "redis"),
        ({"online_store": {"type": CLASS, "redis_type": "redis_cluster"}}, "redis_cluster"),
        ({"online_store": {"type": "redis", "redis_type": "redis_sentinel"}}, "feast"),
        ({"online_store": {"type": "redis"}, "entity_key_serialization_version": 2}, "feast"),
        ({"online_store": {"type": "redis"}, "registry": {"enable_online_feature_view_versioning": True}}, "feast"),
        ({"online_store": {"type": "sqlite"}}, "feast"),
        ({}, "feast"),
    ],
)
def test_the_way_to_read(config: dict[str, Any], way: str) -> None:
    assert way_to_read(config) == way


async def test_a_cluster_is_chosen_by_the_file_or_by_hand(
    settings: Settings, feature_repo: Callable[..., Path], build: Callable[..., Contract]
) -> None:
    file = feature_repo() / "feature_store.yaml"
    url = "redis://127.0.0.1:1/0"
    by_hand = open_reader(build(), settings, url, seconds=1, cluster=True)
    file.write_text(file.read_text().replace("type: redis,", "type: redis, redis_type: redis_cluster,"))
    by_file = open_reader(build(), settings, url, seconds=1)
    not_by_hand = open_reader(build(), settings, url, seconds=1, cluster=False)
    kinds = [isinstance(reader._source, ClusterLink) for reader in (by_hand, by_file, not_by_hand)]  # type: ignore[attr-defined]
    assert kinds == [True, True, False]
