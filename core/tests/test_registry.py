"""A real MLflow on SQLite: versions, the alias, the journal, damage."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import mlflow
import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression

from twinserve.contract import Contract, GoldenRow, Output
from twinserve.errors import ContractMismatch, StepMissing, TransientError
from twinserve.registry import DIGEST_TAG, Registry, _digest, estimator_score
from twinserve.settings import Settings, load_settings

Build = Callable[..., Contract]
pytestmark = pytest.mark.integration
ROWS = np.random.default_rng(1).normal(size=(200, 2))
PROBABILITY = Output(method="predict_proba", target="sold", meaning="P(sold)", positive_class=1)


@pytest.fixture(scope="module")
def module_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return load_settings(home=tmp_path_factory.mktemp("mlflow"))


@pytest.fixture
def registry(module_settings: Settings, request: pytest.FixtureRequest) -> Registry:
    """A registered model of its own in an MLflow that the module's tests share."""
    registry = Registry(module_settings.model_copy(update={"model_name": request.node.name}))
    if mlflow.get_experiment_by_name("tests") is None:
        mlflow.create_experiment("tests", artifact_location=module_settings.mlflow_artifacts.as_uri())
    mlflow.set_experiment("tests")
    return registry


def run_id() -> str:
    with mlflow.start_run() as run:
        return str(run.info.run_id)


def with_golden(build: Build, model: object, **changes: object) -> Contract:
    bare = build(**changes)
    scores = estimator_score(model, bare)(ROWS[:4])
    golden = tuple(GoldenRow(features=tuple(r), score=float(s)) for r, s in zip(ROWS[:4], scores, strict=True))
    return bare.model_copy(update={"golden": golden})


def linear() -> LinearRegression:
    return LinearRegression().fit(ROWS, ROWS @ [2.0, -1.0])


def test_a_version_comes_back_with_its_contract_and_scores(registry: Registry, build: Build) -> None:
    model = HistGradientBoostingClassifier(max_iter=5).fit(ROWS, ROWS[:, 0] > 0)
    agreed = with_golden(build, model, output=PROBABILITY)
    served = registry.load_version(registry.register(model, agreed, run_id()))
    assert served.contract == agreed
    np.testing.assert_array_equal(served.score(ROWS), model.predict_proba(ROWS)[:, 1])


def test_no_champion_until_one_is_promoted(registry: Registry, build: Build) -> None:
    assert registry.champion() is None
    with pytest.raises(StepMissing, match="no champion"):
        registry.load_champion()
    version = registry.register(linear(), with_golden(build, linear()), run_id())
    assert registry.champion() is None, "registering moves nothing"
    registry.promote(version, who="test", why="first")
    assert registry.load_champion().version == version


def test_every_move_is_in_the_journal(registry: Registry, build: Build) -> None:
    first, second = (registry.register(linear(), with_golden(build, linear()), run_id()) for _ in range(2))
    for version, why in [(first, "a"), (second, "b"), (second, "again"), (first, "roll back")]:
        registry.promote(version, who="tester", why=why)
    moves = registry.journal()
    assert [(m.came_from, m.went_to, m.why) for m in moves] == [
        (None, first, "a"),
        (first, second, "b"),
        (second, first, "roll back"),
    ]
    assert {m.who for m in moves} == {"tester"}


def test_a_model_that_breaks_its_promise_is_not_registered(registry: Registry, build: Build) -> None:
    wrong = with_golden(build, linear()).model_copy(update={"golden": (GoldenRow(features=(0.0, 0.0), score=5.0),)})
    with pytest.raises(ContractMismatch, match="golden row 0"):
        registry.register(linear(), wrong, run_id())
    assert registry.champion() is None


def stored_file(registry: Registry, version: str, name: str) -> Path:
    """A file of a version, where the embedded MLflow keeps it."""
    folder = mlflow.artifacts.download_artifacts(f"models:/{registry.name}/{version}")
    return next(Path(folder).rglob(name))


@pytest.mark.parametrize("name", ["model.skops", "contract.json", "MLmodel"])
def test_a_damaged_artifact_is_refused(registry: Registry, build: Build, name: str) -> None:
    version = registry.register(linear(), with_golden(build, linear()), run_id())
    file = stored_file(registry, version, name)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(ContractMismatch, match="not the one that was registered"):
        registry.load_version(version)


def test_an_estimator_must_have_what_the_output_needs(build: Build) -> None:
    with pytest.raises(ContractMismatch, match="LinearRegression has no predict_proba"):
        estimator_score(linear(), build(output=PROBABILITY))
    classifier = HistGradientBoostingClassifier(max_iter=2).fit(ROWS, ROWS[:, 0] > 0)
    with pytest.raises(ContractMismatch, match="not 7"):
        estimator_score(classifier, build(output=PROBABILITY.model_copy(update={"positive_class": 7})))


def test_a_server_that_is_not_there_is_transient(tmp_path: Path) -> None:
    with pytest.raises(TransientError, match=r"can't be reached|failed while") as raised:
        Registry(load_settings(home=tmp_path, mlflow_uri="http://user:sekret@127.0.0.1:1")).champion()
    assert "sekret" not in str(raised.value)


def test_a_database_that_is_not_there_is_transient(tmp_path: Path) -> None:
    nowhere = "postgresql+psycopg://user:sekret@127.0.0.1:1/mlflow"
    with pytest.raises(TransientError, match=r"can't be reached|failed while") as raised:
        Registry(load_settings(home=tmp_path, mlflow_uri=nowhere))
    assert "sekret" not in str(raised.value)


def test_a_pickle_is_never_loaded(registry: Registry, module_settings: Settings, build: Build, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "it ran",))

    version = registry.register(linear(), with_golden(build, linear()), run_id())
    folder = stored_file(registry, version, "MLmodel").parent
    (folder / "model.skops").write_bytes(pickle.dumps(Bomb()))
    notes = (folder / "MLmodel").read_text().replace("serialization_format: skops", "serialization_format: pickle")
    (folder / "MLmodel").write_text(notes)
    registry._client.set_model_version_tag(registry.name, version, DIGEST_TAG, _digest(folder))
    with pytest.raises(ContractMismatch, match="skops format"):
        registry.load_version(version)
    assert not (tmp_path / "it ran").exists()
    registry._client.delete_model_version_tag(registry.name, version, DIGEST_TAG)
    with pytest.raises(ContractMismatch, match="has no digest"):
        registry.load_version(version)
