"""A home of its own for every test, one real Redis for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import redis
from small_feature_repo import write_feature_repo

from twinserve.contract import Contract, GoldenRow, MissingPolicy, Output, Tolerance, build_contract
from twinserve.embedded.redis import leased_redis
from twinserve.features.feast_repo.views import ServedFeature, ServiceSpec
from twinserve.settings import Settings, load_settings

SERVICE = ServiceSpec(
    "shop",
    "ranking",
    {"store_id": "INT64"},
    (
        ServedFeature("sales", "revenue", "FLOAT", 3600, ("store_id",)),
        ServedFeature("visits", "count", "INT64", None, ("store_id",)),
    ),
)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings whose home and feature repo lie in the test's own folder."""
    monkeypatch.setenv("TWINSERVE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TWINSERVE_FEATURE_REPO", str(tmp_path / "repo"))
    return load_settings()


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with leased_redis(load_settings(home=tmp_path_factory.mktemp("redis"))) as url:
        yield url


@pytest.fixture
def redis_url(shared_redis: str) -> str:
    """An empty Redis."""
    with redis.Redis.from_url(shared_redis) as client:
        client.flushall()
    return shared_redis


@pytest.fixture
def build() -> Callable[..., Contract]:
    """Builds a contract of two views: `sales:revenue` with a TTL of an hour, `visits:count` without one."""

    def contract(service: ServiceSpec = SERVICE, **changes: object) -> Contract:
        built = build_contract(
            service,
            output=Output(method="predict", target="sold", meaning="items sold"),
            missing=MissingPolicy(),
            tolerance=Tolerance(absolute=1e-9, relative=0, why="test"),
            libraries={"numpy": np.__version__},
            golden=(GoldenRow(features=(1.0, None), score=2.0),),
        )
        return built.model_copy(update=changes)

    return contract


@pytest.fixture
def feature_repo(settings: Settings, request: pytest.FixtureRequest) -> Callable[..., Path]:
    """Writes a feature repo: the test module's `DEFINITIONS`, with `{ttl}` filled in, unless others are given."""

    def write(ttl: timedelta = timedelta(days=2), definitions: str | None = None) -> Path:
        text = (definitions or request.module.DEFINITIONS).replace("{ttl}", f"timedelta(seconds={ttl.total_seconds()})")
        return write_feature_repo(settings.feature_repo, "shop", text)

    return write


@pytest.fixture
def write_sales(settings: Settings) -> Callable[[pd.DataFrame], Path]:
    """Writes rows of `sales` to the offline store, one file a day."""

    def write(rows: pd.DataFrame) -> Path:
        folder = settings.offline_store / "sales"
        for day, part in rows.groupby(rows["event_timestamp"].dt.strftime("%Y-%m-%d")):
            target = folder / f"day={day}" / "part-0.parquet"
            target.parent.mkdir(parents=True, exist_ok=True)
            part.to_parquet(target, index=False)
        return folder

    return write
