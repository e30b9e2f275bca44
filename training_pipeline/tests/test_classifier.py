"""The seven commands on a classifier: real Feast, real Redis, real MLflow on SQLite."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient

from twinserve.errors import BadInput, ContractMismatch, PermanentError, StepMissing, TransientError
from twinserve.files import locks
from twinserve.registry import CHAMPION

pytestmark = pytest.mark.integration


def test_a_champion_and_what_is_known_of_it(stalls: Any) -> None:
    result = stalls.train("first")

    assert result["promoted"]
    assert result["previous_champion"] is None
    assert result["metrics"]["roc_auc"] > 0.7
    served = stalls.registry.load_champion()
    assert served.version == result["version"]
    assert served.contract.columns == ["share", "visits", "roofed"]
    assert len(served.contract.golden) >= 5
    assert served.form == "onnx"
    assert served.contract.scoring is not None
    assert served.contract.scoring.largest_difference == 0
    assert set(served.contract.scoring.rows_per_second) == {"onnx", "original"}
    (move,) = stalls.registry.journal()
    assert move.who == "training-pipeline, run first"
    assert "roc_auc" in move.why
    known_to_mlflow(stalls, result["mlflow_run"])


def known_to_mlflow(project: Any, run_id: str) -> None:
    client = MlflowClient(project.settings.mlflow_tracking)
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["estimator"] == "gradient_boosting"
    assert run.data.params["model.random_state"] == "7"
    assert {"train_roc_auc", "test_roc_auc", "constant_brier", "one_feature_log_loss"} <= set(run.data.metrics)
    assert run.inputs is not None
    assert run.inputs.dataset_inputs[0].dataset.digest == run.data.params["digest"]
    assert {file.path for file in client.list_artifacts(run_id, "plots")} == {
        "plots/roc.png",
        "plots/calibration.png",
        "plots/importance.png",
    }
    assert project.settings.home in Path(run.info.artifact_uri.removeprefix("file://")).parents


def test_the_split_is_by_time_and_loses_no_row(stalls: Any) -> None:
    prepared = stalls.train("split", until="data-preparation")

    train, test = pd.read_parquet(prepared["train"]), pd.read_parquet(prepared["test"])
    assert train["event_timestamp"].max() < test["event_timestamp"].min()
    assert len(train) + len(test) + sum(prepared["left_out"].values()) == 800


def test_the_same_again_keeps_the_champion(stalls: Any) -> None:
    first = stalls.train("first")

    second = stalls.train("second")

    assert second["version"] == first["version"]
    assert not second["registered"]
    assert second["metrics"] == first["metrics"]
    assert second["mlflow_run"] != first["mlflow_run"]
    assert len(stalls.registry.journal()) == 1


@pytest.mark.parametrize("again", ["model-validation", "feature-store-init"])
def test_the_same_run_again_registers_nothing(stalls: Any, again: str) -> None:
    first = stalls.train("first")

    repeated = stalls.train("first") if again == "feature-store-init" else stalls.run(again, "first")

    assert repeated["version"] == first["version"]
    assert repeated["mlflow_run"] == first["mlflow_run"]
    assert repeated["promoted"], "by this run, whose earlier try may have told nobody"
    assert versions(stalls) == [first["version"]]


def versions(project: Any) -> list[str]:
    client = MlflowClient(project.settings.mlflow_tracking)
    return sorted(str(version.version) for version in client.search_model_versions())


def test_a_crash_between_register_and_promote_is_made_good(stalls: Any) -> None:
    first = stalls.train("first")
    client = MlflowClient(stalls.settings.mlflow_tracking)
    client.delete_registered_model_alias(stalls.settings.model_name, CHAMPION)

    repeated = stalls.run("model-validation", "first")

    assert repeated["version"] == first["version"]
    assert (repeated["registered"], repeated["promoted"]) == (False, True)
    assert stalls.registry.champion() == first["version"]


def test_two_runs_become_champion_one_after_the_other(stalls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stalls.train("first", until="model-evaluation")
    monkeypatch.setattr(locks, "PATIENCE", 0.1)
    with (
        locks.one_at_a_time(stalls.settings.home / "locks" / f"champion-{stalls.settings.model_name}"),
        pytest.raises(TransientError, match="champion-ranker"),
    ):
        stalls.run("model-validation", "first")
    assert stalls.registry.champion() is None
    assert stalls.run("model-validation", "first")["promoted"]


def test_a_model_that_is_not_good_enough_moves_nothing(stalls: Any) -> None:
    first = stalls.train("first")
    stalls.set_params(model_checks={"limit": 0.99}, model={"params": {"max_iter": 5}})

    with pytest.raises(PermanentError, match=r"roc_auc: 0\.\d+, at least 0\.99 needed \(limit\)"):
        stalls.train("second")

    assert stalls.registry.champion() == first["version"]
    assert versions(stalls) == [first["version"]]
    with pytest.raises(StepMissing):  # the failed step left no result
        stalls.run("model-validation", "third")


def test_a_model_much_worse_than_the_champion_moves_nothing(stalls: Any) -> None:
    first = stalls.train("first")
    poor = {"estimator": "sklearn.tree.DecisionTreeClassifier", "params": {"max_depth": 1, "max_features": 1}}
    stalls.set_params(model=poor, model_checks={"limit": 0.3, "better_than_constant_by": None})

    with pytest.raises(PermanentError, match=r"on the same rows, worse by .*\(worse_than_champion_by\)"):
        stalls.train("second")

    assert stalls.registry.champion() == first["version"]


def test_another_model_as_good_takes_over(stalls: Any) -> None:
    first = stalls.train("first")
    stalls.set_params(model={"estimator": "elastic_net"}, model_checks={"worse_than_champion_by": 0.1})

    second = stalls.train("second")

    assert second["previous_champion"] == first["version"]
    assert stalls.registry.champion() == second["version"] != first["version"]
    assert [move.came_from for move in stalls.registry.journal()] == [None, first["version"]]


def test_a_champion_that_cannot_be_loaded_counts_as_absent(stalls: Any, caplog: pytest.LogCaptureFixture) -> None:
    first = stalls.train("first")
    for file in stalls.settings.mlflow_artifacts.rglob("model.skops"):
        file.write_bytes(b"torn")
    stalls.set_params(model={"params": {"max_iter": 60}})

    second = stalls.train("second")

    assert second["previous_champion"] == first["version"]
    assert "not the one that was registered" in second["champion_problem"]
    assert f"champion {first['version']} is left out of the comparison" in caplog.text
    assert stalls.registry.champion() == second["version"]


def test_a_champion_that_moved_meanwhile_asks_for_a_new_comparison(stalls: Any) -> None:
    stalls.train("slow", until="model-evaluation")
    stalls.set_params(model={"params": {"max_iter": 60}})
    quick = stalls.train("quick")
    stalls.set_params()

    with pytest.raises(PermanentError, match="model-evaluation --run-key slow"):
        stalls.run("model-validation", "slow")

    assert stalls.registry.champion() == quick["version"]


def test_a_damaged_candidate_is_not_promoted(stalls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The version exists, its artifact doesn't reproduce the golden rows: the rerun refuses it too."""
    stalls.train("first", until="model-evaluation")
    stalls.run("model-validation", "first")
    client = MlflowClient(stalls.settings.mlflow_tracking)
    client.delete_registered_model_alias(stalls.settings.model_name, CHAMPION)
    for file in stalls.settings.mlflow_artifacts.rglob("model.skops"):
        file.write_bytes(b"torn")

    with pytest.raises(ContractMismatch):
        stalls.run("model-validation", "first")

    assert stalls.registry.champion() is None


def test_ten_labels_are_extracted_and_refused(stalls: Any) -> None:
    stalls.train("first")
    hours = pd.date_range("2026-01-03", periods=10, freq="8h", tz="UTC")
    labels = pd.DataFrame({"at": hours, "stall_id": range(10), "sold_out": [1, 0] * 5})
    labels.to_csv(stalls.root / "ten.csv", sep="\t", index=False)

    extracted = stalls.train("ten", "--labels", str(stalls.root / "ten.csv"), until="data-extraction")
    assert extracted["rows"] == 10
    assert extracted["missing"]["complete"] == 10
    with pytest.raises(PermanentError, match=r"usable rows: 10, at least 200 needed \(min_rows\)"):
        stalls.run("data-validation", "ten")

    assert stalls.registry.champion() == "1"
    assert "min_rows" in (stalls.scratch("ten") / "data_checks.json").read_text()


def test_reasons_of_missing_features_are_counted(stalls: Any) -> None:
    rows = [("2026-01-05", 3, 1), ("2026-01-05", 99, 0), ("2026-02-05", 3, 1), ("2025-12-31", 3, 1)]
    pd.DataFrame(rows, columns=["at", "stall_id", "sold_out"]).to_csv(stalls.root / "odd.csv", index=False)

    extracted = stalls.train("odd", "--labels", str(stalls.root / "odd.csv"), until="data-extraction")

    assert extracted["missing"] == {"complete": 1, "null": 0, "stale": 1, "unknown": 2}
    assert pq.read_table(extracted["features"]).num_rows == 4


def test_a_run_is_of_the_parameters_that_it_began_with(stalls: Any) -> None:
    stalls.train("first", until="data-extraction")
    stalls.set_params(data_checks={"min_rows": 10_000})
    with pytest.raises(BadInput, match=r"data_checks\.min_rows: 200 then, 10000 now"):
        stalls.run("data-validation", "first")

    stalls.set_params()
    assert stalls.run("data-validation", "first")["rows"] == 800


def test_what_is_not_there_is_named(stalls: Any) -> None:
    stalls.set_params(feature_service="unsold")
    with pytest.raises(StepMissing, match="'unsold'"):
        stalls.run("feature-store-init", "run")
    with pytest.raises(StepMissing, match="training-pipeline feature-store-init --run-key run"):
        stalls.run("data-extraction", "run")

    stalls.set_params()
    stalls.run("feature-store-init", "run")
    shutil.rmtree(stalls.settings.offline_store)
    with pytest.raises(StepMissing, match="no features in"):
        stalls.run("data-extraction", "run")


def test_no_labels_at_all(stalls: Any) -> None:
    (stalls.root / "none.csv").write_text("at,stall_id,sold_out\n")

    with pytest.raises(BadInput, match="no rows"):
        stalls.train("none", "--labels", str(stalls.root / "none.csv"))


def test_same_data_same_bytes(stalls: Any) -> None:
    results = [stalls.train(key, until="model-training") for key in ("one", "two")]

    assert results[0]["metrics"] == results[1]["metrics"]
    for name in ("labels.parquet", "training_rows.parquet", "train.parquet", "test.parquet"):
        one, two = ((stalls.scratch(key) / name).read_bytes() for key in ("one", "two"))
        assert one == two, name


def test_test_rows_of_one_class_are_refused(stalls: Any) -> None:
    evenings = pd.DataFrame({
        "at": pd.date_range("2026-01-02", periods=400, freq="h", tz="UTC"),
        "stall_id": np.arange(400) % 12,
        "sold_out": [*[0, 1] * 160, *[1] * 80],
    })  # fmt: skip
    evenings.to_csv(stalls.root / "late.csv", index=False)
    stalls.set_params(data_checks={"max_psi": 100})

    with pytest.raises(PermanentError, match=r"classes in the test rows: 1, at least 2 needed.*roc_auc does not exist"):
        stalls.train("late", "--labels", str(stalls.root / "late.csv"))
