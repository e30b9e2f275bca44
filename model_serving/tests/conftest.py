"""The two worlds, built once for the session."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from serving_worlds import (
    RIDES,
    SHOPS,
    Server,
    StartServer,
    World,
    classifier_output,
    fitted_classifier,
    fitted_regression,
    make_world,
    ride_rows,
    shop_rows,
)
from stage import Stage, raised

from twinserve.contract import Output


@pytest.fixture(scope="session")
def rides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ExitStack() as opened:
        world = make_world(tmp_path_factory.mktemp("rides"), RIDES, {"driver_stats": ride_rows()}, opened)
        world.register(fitted_classifier(), world.contract(classifier_output()))
        yield world


@pytest.fixture(scope="session")
def shops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ExitStack() as opened:
        views = {"sales": shop_rows("sales"), "stock": shop_rows("stock")}
        world = make_world(tmp_path_factory.mktemp("shops"), SHOPS, views, opened)
        output = Output(method="predict", target="minutes", meaning="minutes to wait", best="lowest")
        world.register(fitted_regression(), world.contract(output))
        yield world


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """For tests of the group `chaos`, which run one after the other."""
    with raised(tmp_path_factory.mktemp("stage")) as made:
        yield made


@pytest.fixture
def soak_minutes(request: pytest.FixtureRequest) -> float:
    """What `--soak-minutes` says."""
    return float(request.config.getoption("--soak-minutes"))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[StartServer]:
    """Starts servers, and stops those that the test has not."""
    servers: list[Server] = []

    def begin(world: World, **environment: str) -> Server:
        servers.append(Server(world, tmp_path / f"server-{len(servers)}.log", **environment))
        return servers[-1]

    yield begin
    for server in servers:
        server.stop()
