"""A real MLflow on SQLite: versions, the alias, the journal, damage."""

from __future__ import annotations

import errno
import hashlib
import os
import pickle
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import mlflow
import numpy as np
import pytest
import requests
from blank_mlflow import with_blank_mlflow
from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR, MLFLOW_HTTP_REQUEST_TIMEOUT
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    INTERNAL_ERROR,
    INVALID_PARAMETER_VALUE,
    REQUEST_LIMIT_EXCEEDED,
    TEMPORARILY_UNAVAILABLE,
)
from onnx import TensorProto, helper, numpy_helper
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression
from sqlalchemy.exc import OperationalError

from twinserve.contract import Contract, GoldenRow, Output, Scoring
from twinserve.errors import ContractMismatch, PermanentError, StepMissing, TransientError
from twinserve.model.model_files import estimator_score, folder_digest
from twinserve.model.onnx_scorer import METADATA_KEY, Usage
from twinserve.model.served_model import load_served
from twinserve.registry import DIGEST_TAG, RegisteredVersion, Registry, _log_model, mlflow_errors, prepare_mlflow
from twinserve.settings import Settings, load_settings

Build = Callable[..., Contract]
pytestmark = pytest.mark.integration
ROWS = np.random.default_rng(1).normal(size=(200, 2))
PROBABILITY = Output(method="predict_proba", target="sold", meaning="P(sold)", positive_class=1)


@pytest.fixture(scope="module")
def module_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return with_blank_mlflow(load_settings(home=tmp_path_factory.mktemp("mlflow")))


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


def test_mlflow_may_keep_silent_for_ten_seconds_or_what_the_user_sets(
    module_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(MLFLOW_HTTP_REQUEST_TIMEOUT.name, raising=False)
    prepare_mlflow(module_settings)
    assert os.environ[MLFLOW_HTTP_REQUEST_TIMEOUT.name] == "10"
    monkeypatch.setenv(MLFLOW_HTTP_REQUEST_TIMEOUT.name, "60")
    prepare_mlflow(module_settings)
    assert os.environ[MLFLOW_HTTP_REQUEST_TIMEOUT.name] == "60"


def test_a_full_disk_under_mlflow_is_called_that(tmp_path: Path) -> None:
    said = MlflowException("(sqlite3.OperationalError) database or disk is full\n[SQL: INSERT INTO metrics …]")
    with pytest.raises(TransientError, match="no space left for MLflow's database while logging"):
        raise_in(mlflow_errors("logging metrics"), said)


@pytest.mark.parametrize(
    ("raised", "becomes", "says"),
    [
        (
            OperationalError("SQL", {}, Exception("no room\nand more")),
            TransientError,
            "can't be used while {}: no room$",
        ),
        (requests.ConnectionError("x"), TransientError, "MLflow can't be reached while {}"),
        (ConnectionRefusedError("x"), TransientError, "MLflow can't be reached while {}"),
        (OSError(errno.ENOSPC, "no space"), TransientError, "{}: .*no space"),
        (OSError(errno.EIO, "broken"), TransientError, "{}: .*broken"),
        (OSError(errno.EACCES, "not yours"), PermanentError, "{}: .*not yours"),
        (MlflowException("x", INTERNAL_ERROR), TransientError, "MLflow failed while {}: x"),
        (MlflowException("x", TEMPORARILY_UNAVAILABLE), TransientError, "MLflow failed while {}: x"),
        (MlflowException("x", REQUEST_LIMIT_EXCEEDED), TransientError, "MLflow failed while {}: x"),
        (MlflowException("x", INVALID_PARAMETER_VALUE), PermanentError, "MLflow refuses {}: x"),
        (ValueError("x"), ValueError, "x"),
    ],
)
def test_what_can_pass_is_transient_and_what_is_refused_is_not(
    raised: Exception, becomes: type[Exception], says: str
) -> None:
    with pytest.raises(becomes, match=says.format("registering").removesuffix("$")) as told:
        raise_in(mlflow_errors("registering"), raised)
    assert type(told.value) is becomes
    assert "and more" not in str(told.value)


def raise_in(block: AbstractContextManager[None], error: Exception) -> None:
    with block:
        raise error


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


def test_the_journal_is_in_the_order_of_the_moves(registry: Registry) -> None:
    """Kept as tags of the registered model, beside others."""
    registry._ensure_model()
    registry._ensure_model()  # it may be there
    registry._client.set_registered_model_tag(registry.name, "twinserve.other", "x")
    before = datetime.now(UTC)
    moves = [registry.promote(made_version(registry), who="me", why="x" * 3000) for _ in range(4)]
    assert registry.journal() == moves
    for move in moves:
        assert move is not None
        assert before <= datetime.fromisoformat(move.at) <= datetime.now(UTC)
        assert (move.who, move.why) == ("me", "x" * 2000)
    tags = registry._client.get_registered_model(registry.name).tags
    assert sorted(name.split(".")[1] for name in tags) == ["journal"] * 4 + ["other"]


def test_what_mlflow_refuses_is_named(registry: Registry) -> None:
    with pytest.raises(PermanentError, match="MLflow refuses reading the journal: "):
        registry.journal()
    with pytest.raises(PermanentError, match="MLflow refuses asking for the versions of a run: "):
        registry.version_of_run("'")
    registry._ensure_model()
    with pytest.raises(PermanentError, match="MLflow refuses moving the alias: "):
        registry.promote("7", who="me", why="")
    assert [move.went_to for move in registry.journal()] == ["7"], "a line too many, never a move unrecorded"


def test_a_move_is_logged(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    registry._ensure_model()
    first, second = made_version(registry), made_version(registry)
    with caplog.at_level("INFO", logger="twinserve.registry"):
        registry.promote(first, who="me", why="good")
        registry.promote(second, who="me", why="better")
    assert [record.getMessage() for record in caplog.records if record.name == "twinserve.registry"] == [
        f"champion of {registry.name}: version None → {first} (good)",
        f"champion of {registry.name}: version {first} → {second} (better)",
    ]


def made_version(registry: Registry, run: str | None = None, **tags: str) -> str:
    """A version that somebody else registered: no files."""
    return str(registry._client.create_model_version(registry.name, "file:///nowhere", run, tags).version)


def test_of_a_run_that_registered_twice_the_last_version_is_its_own(registry: Registry) -> None:
    assert registry.version_of_run("0" * 32) is None
    registry._ensure_model()
    mine, others = run_id(), run_id()
    versions = [made_version(registry, mine) for _ in range(10)]
    made_version(registry, others)
    assert versions[-1] == "10"
    assert registry.version_of_run(mine) == "10", "by number, not by text"
    assert registry.version_of_run(others) == "11"
    assert registry.version_of_run("0" * 32) is None


def test_a_champion_of_somebody_else_is_refused(registry: Registry) -> None:
    registry._ensure_model()
    version = made_version(registry)
    registry.promote(version, who="me", why="")
    with pytest.raises(ContractMismatch, match=f"{registry.name} version {version} was not registered by Twinserve"):
        registry.find_champion()
    known = made_version(registry, **{DIGEST_TAG: "abc"})
    registry.promote(known, who="me", why="")
    assert registry.find_champion() == RegisteredVersion(registry.name, known, "abc")
    assert registry.find_champion().label == f"{registry.name} version {known}"
    with pytest.raises(PermanentError, match=f"{registry.name} version 99"):
        registry.load_version("99")


def test_mlflow_shows_what_a_version_is(registry: Registry, build: Build) -> None:
    file = linear_onnx(2.0, -1.0)
    agreed, run = with_onnx(build, file), run_id()
    version = registry.register(linear(), agreed, run, file)
    found = registry._client.get_model_version(registry.name, version)
    assert (found.run_id, registry.version_of_run(run)) == (run, version)
    scoring = agreed.scoring
    assert scoring is not None
    assert {name: text for name, text in found.tags.items() if name != DIGEST_TAG} == {
        "feature_service": agreed.feature_service,
        "scoring_form": "onnx",
        "scoring_small": str(scoring.small),
        "scoring_why": "faster",
        "scoring_rows_compared": str(scoring.rows_compared),
        "scoring_largest_difference": str(scoring.largest_difference),
    }
    folder = stored_file(registry, version, "MLmodel").parent
    assert {file.name for file in folder.rglob("*")} >= {"contract.json", "scorer.onnx", "model.skops"}
    needed = {f"{name}=={number}" for name, number in agreed.libraries.items()}
    assert needed <= set((folder / "requirements.txt").read_text().split())
    signature = mlflow.models.get_model_info(str(folder)).signature
    assert signature.inputs.input_names() == list(agreed.columns)
    assert signature.outputs is not None


def test_a_model_that_breaks_its_promise_is_not_registered(registry: Registry, build: Build) -> None:
    wrong = with_golden(build, linear()).model_copy(update={"golden": (GoldenRow(features=(0.0, 0.0), score=5.0),)})
    with pytest.raises(ContractMismatch, match="golden row 0"):
        registry.register(linear(), wrong, run_id())
    assert registry.champion() is None


def test_what_is_not_registered_leaves_no_model(registry: Registry, build: Build, module_settings: Settings) -> None:
    before, own = files_in(module_settings.mlflow_artifacts), run_id()
    wrong = with_golden(build, linear()).model_copy(update={"golden": (GoldenRow(features=(0.0, 0.0), score=5.0),)})
    with pytest.raises(ContractMismatch, match="golden row 0"):
        registry.register(linear(), wrong, own)
    assert files_in(module_settings.mlflow_artifacts) == before
    assert logged_by(own) == []


def test_the_model_of_a_try_that_was_killed_goes_and_others_stay(registry: Registry, build: Build) -> None:
    own, agreed, model = run_id(), with_golden(build, linear()), linear()
    first = registry.register(model, agreed, own)
    left = _log_model(model, agreed, own, b"")  # all that a try does until it is killed
    copied = _log_model(model, agreed, own, b"")
    mlflow.register_model(copied.model_uri, f"{registry.name} by hand")
    with mlflow.start_run(own):
        noted = mlflow.sklearn.log_model(model, name="by hand", serialization_format="skops")
    second = registry.register(model, agreed, own)
    sources = [registry._client.get_model_version(registry.name, version).source for version in (first, second)]
    kept = {copied.model_id, noted.model_id, *(str(source).removeprefix("models:/") for source in sources)}
    assert set(logged_by(own)) == kept
    assert not files_in(Path(left.artifact_path.removeprefix("file://")))
    assert [registry.load_version(version).version for version in (first, second)] == [first, second]


def logged_by(run: str) -> list[str]:
    experiment = mlflow.get_run(run).info.experiment_id
    found = mlflow.MlflowClient().search_logged_models([experiment], f"source_run_id = '{run}'")
    return [model.model_id for model in found]


def files_in(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


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


def test_a_server_that_is_not_there_is_transient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR.name, "0")  # asked again at once
    with pytest.raises(TransientError, match=r"can't be reached|failed while") as raised:
        Registry(load_settings(home=tmp_path, mlflow_uri="http://user:sekret@127.0.0.1:1")).champion()
    assert "sekret" not in str(raised.value)


def test_a_database_that_is_not_there_is_transient(tmp_path: Path) -> None:
    nowhere = "postgresql+psycopg://user:sekret@127.0.0.1:1/mlflow"
    with pytest.raises(TransientError, match="database can't be used while opening") as raised:
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
    registry._client.set_model_version_tag(registry.name, version, DIGEST_TAG, folder_digest(folder))
    with pytest.raises(ContractMismatch, match="skops format"):
        registry.load_version(version)
    assert not (tmp_path / "it ran").exists()
    registry._client.delete_model_version_tag(registry.name, version, DIGEST_TAG)
    with pytest.raises(ContractMismatch, match="has no digest"):
        registry.load_version(version)


def linear_onnx(*weights: float) -> bytes:
    """The linear model of these weights, as a graph."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["rows", "weights"], ["raw"])],
        "linear",
        [helper.make_tensor_value_info("rows", TensorProto.DOUBLE, [None, 2])],
        [helper.make_tensor_value_info("raw", TensorProto.DOUBLE, [None, 1])],
        [numpy_helper.from_array(np.array(weights)[:, None], "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {METADATA_KEY: Usage().model_dump_json()})
    return bytes(model.SerializeToString())


def with_onnx(build: Build, file: bytes) -> Contract:
    agreed = with_golden(build, linear())
    agreed = agreed.model_copy(update={"tolerance": agreed.tolerance.model_copy(update={"absolute": 1e-9})})
    digest = hashlib.sha256(file).hexdigest()
    return agreed.registered(agreed.golden, Scoring(form="onnx", why="faster", file="scorer.onnx", sha256=digest))


def test_a_version_scores_in_the_form_that_its_contract_names(registry: Registry, build: Build) -> None:
    file = linear_onnx(2.0, -1.0)
    version = registry.register(linear(), with_onnx(build, file), run_id(), file)
    served = registry.load_version(version, with_original=True)
    assert served.form == "onnx"
    assert registry.load_version(version).reference is None
    assert served.contract.libraries["onnxruntime"] != "absent"
    np.testing.assert_allclose(served.score(ROWS), ROWS @ [2.0, -1.0], atol=1e-12)
    np.testing.assert_array_equal(served.original(ROWS), linear().predict(ROWS))
    assert registry._client.get_model_version(registry.name, version).tags["scoring_form"] == "onnx"


def test_a_requests_few_rows_may_have_a_form_of_their_own(registry: Registry, build: Build, tmp_path: Path) -> None:
    file = linear_onnx(2.0, -1.0)
    agreed = with_onnx(build, file)
    assert agreed.scoring is not None
    scoring = agreed.scoring.model_copy(update={"form": "original", "small": "onnx"})
    version = registry.register(linear(), agreed.model_copy(update={"scoring": scoring}), run_id(), file)
    assert registry.load_version(version).form == "original"
    registry.promote(version, who="tests", why="to be found")
    found = registry.find_champion()
    files = registry.download(found, tmp_path)
    few = load_served(found.name, found.version, files, "auto", with_original=False, few=True)
    assert few.form == "onnx"
    np.testing.assert_allclose(few.score(ROWS), ROWS @ [2.0, -1.0], atol=1e-12)


def test_the_original_can_be_asked_for(registry: Registry, module_settings: Settings, build: Build) -> None:
    file = linear_onnx(2.0, -1.0)
    version = registry.register(linear(), with_onnx(build, file), run_id(), file)
    plain = Registry(module_settings.model_copy(update={"model_name": registry.name, "scorer": "original"}))
    served = plain.load_version(version)
    assert (served.form, served.calls_at_once) == ("original", 1)
    np.testing.assert_array_equal(served.score(ROWS), linear().predict(ROWS))


@pytest.mark.parametrize(
    ("file", "says"),
    [(linear_onnx(2.0, -1.001), "golden row 0"), (b"no graph", "INVALID_PROTOBUF")],
)
def test_a_form_that_fails_here_leaves_it_to_the_original(
    registry: Registry, build: Build, caplog: pytest.LogCaptureFixture, file: bytes, says: str
) -> None:
    served = registry.load_version(registry.register(linear(), with_onnx(build, file), run_id(), file))
    assert served.form == "original"
    np.testing.assert_array_equal(served.score(ROWS), linear().predict(ROWS))
    assert "served by the original, which is slower" in caplog.text
    assert says in caplog.text


@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_a_damaged_onnx_file_is_refused_with_the_version(registry: Registry, build: Build, damage: str) -> None:
    file = linear_onnx(2.0, -1.0)
    version = registry.register(linear(), with_onnx(build, file), run_id(), file)
    stored = stored_file(registry, version, "scorer.onnx")
    stored.write_bytes(file[:-1] + b"?") if damage == "changed" else stored.unlink()
    with pytest.raises(ContractMismatch, match="not the one that was registered"):
        registry.load_version(version)
    folder = stored_file(registry, version, "MLmodel").parent
    registry._client.set_model_version_tag(registry.name, version, DIGEST_TAG, folder_digest(folder))
    assert registry.load_version(version).form == "original", "nor is it used where somebody has signed the damage"


def test_a_form_without_onnxruntime_leaves_it_to_the_original(
    registry: Registry, build: Build, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = linear_onnx(2.0, -1.0)
    version = registry.register(linear(), with_onnx(build, file), run_id(), file)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # what `import` finds where it is not installed
    assert registry.load_version(version).form == "original"
    assert "onnxruntime" in caplog.text
