"""One platform in containers and one embedded home, on the same sample world; both run the same stages once."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from docker_platform import ROOT, DockerPlatform, platform_environment
from platform_under_test import Platform
from two_runtimes import KEEP, TASKS, Both, run_dag

WORLD = ("--drivers=200", "--days=20", "--orders=3000", "--seed=7")


@pytest.fixture(scope="session")
def tag() -> str:
    """The tag of this checkout's images, as `make` takes it."""
    if given := os.environ.get("TAG"):
        return given
    words = ["git", "-C", str(ROOT), "describe", "--tags", "--always", "--dirty"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="session")
def stack(tag: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerPlatform]:
    """The platform, up and well; its online service has no model yet."""
    keep = bool(os.environ.get(KEEP))
    env_file = ROOT / ".uv" / "tmp" / "docker-test.env" if keep else tmp_path_factory.mktemp("platform") / "env"
    platform = DockerPlatform(env_file, platform_environment(tag))
    if not keep:
        platform.tool("down", "--volumes")  # of a test that was interrupted
    try:
        platform.tool("up")
        yield platform
    finally:
        if not keep:
            platform.tool("down", "--volumes")


@pytest.fixture(scope="session")
def world_end() -> datetime:
    """The end of the first world: the day after it is the second ingest's."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)


@pytest.fixture(scope="session")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """An embedded home, empty."""
    return Platform(tmp_path_factory.mktemp("laptop"))


@pytest.fixture(scope="session")
def first(stack: DockerPlatform, laptop: Platform, world_end: datetime) -> Both:
    """The same world through the four DAGs in containers, and through the commands on the laptop."""
    world = ("generate", *WORLD, f"--end={world_end.isoformat()}")
    request = Path(laptop.run("data-pipeline", *world)["batch_request"])
    laptop_results = {
        "db_to_offline_store": laptop.to_offline_store("first"),
        "materialize_offline_to_online": laptop.run("data-pipeline", "materialize"),
        "training_pipeline": laptop.train("first"),
        "batch_serving_pipeline": laptop.score("first", request),
    }
    stack.pipeline("data-pipeline", "data-pipeline", *world)
    conf: dict[str, dict[str, Any]] = {"batch_serving_pipeline": {"run_key": "first"}}
    with stack.api() as api:
        docker = {dag_id: run_dag(api, dag_id, "first", conf.get(dag_id, {})) for dag_id in TASKS}
    return Both(docker, laptop_results)
