"""The same commands on another project: string keys, two views that share a feature's name, a number to predict."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from twinserve.errors import BadInput, PermanentError, StepMissing

pytestmark = pytest.mark.integration


def test_a_regression_needs_configuration_only(plots: Any) -> None:
    result = plots.train("first")

    served = plots.registry.load_champion()
    assert result["promoted"]
    assert served.contract.columns == ["soil__level", "water__level"]
    assert served.contract.output.method == "predict"
    assert result["metrics"]["rmse"] < 2
    files = MlflowClient(plots.settings.mlflow_tracking).list_artifacts(result["mlflow_run"], "plots")
    assert {file.path for file in files} == {
        "plots/predicted_actual.png",
        "plots/residuals.png",
        "plots/importance.png",
    }


def test_a_null_reaches_the_model_as_nan_and_a_golden_row_has_it(plots: Any) -> None:
    plots.train("first")

    train = pd.read_parquet(plots.scratch("first") / "train.parquet")
    golden = plots.registry.load_champion().contract.golden
    assert train["soil__level"].isna().any()
    assert train["water__level"].notna().all()
    assert golden[0].features == (None, None)
    assert np.isfinite(golden[0].score)


def test_a_target_out_of_range_refuses_the_data(plots: Any) -> None:
    labels = pd.read_csv(plots.root / "harvests.csv", keep_default_na=False)
    labels.loc[3, "tons"] = -1
    labels.to_csv(plots.root / "harvests.csv", index=False)

    with pytest.raises(PermanentError, match=r"share of bad targets: 0\.0041\d+, at most 0 allowed"):
        plots.train("first")


def test_a_linear_model_cannot_take_the_missing_values(plots: Any) -> None:
    plots.set_params(model={"estimator": "elastic_net"})

    with pytest.raises(PermanentError, match="NaN"):
        plots.train("linear")

    plots.set_params(model={"estimator": "elastic_net"}, missing={"null": "leave_out"})
    assert plots.train("complete rows")["promoted"]


def test_a_feature_that_was_never_null_is_not_passed_as_nan_without_a_word(plots: Any) -> None:
    plots.set_params(missing={"unlearned": []})
    with pytest.raises(PermanentError, match=r"no training row lacks water__level: .*`missing\.unlearned`"):
        plots.train("silent", until="data-validation")
    plots.set_params(missing={"unlearned": ["water_level"]})
    with pytest.raises(BadInput, match=r"missing\.unlearned names water_level; its columns are soil__level, water__"):
        plots.run("feature-store-init", "mistyped")

    plots.set_params()
    plots.train("said", until="model-evaluation")
    marker = plots.scratch("said") / "data-preparation.json"
    prepared = json.loads(marker.read_text())
    lacking = prepared.pop("passed_as_nan")
    assert list(lacking) == ["soil__level"]
    marker.write_text(json.dumps(prepared))  # as the last version left it
    with pytest.raises(StepMissing, match="data-preparation --run-key said"):
        plots.run("model-validation", "said")
    marker.write_text(json.dumps(prepared | {"passed_as_nan": {}}))
    with pytest.raises(PermanentError, match=r"the model is refused: .*no training row lacks soil__level"):
        plots.run("model-validation", "said")
    marker.write_text(json.dumps(prepared | {"passed_as_nan": lacking}))
    plots.run("model-validation", "said")
    contract = plots.registry.load_champion().contract
    assert contract.trained_missing == lacking
    train = pd.read_parquet(plots.scratch("said") / "train.parquet")
    assert lacking == {"soil__level": {"null": int(train["soil__level"].isna().sum())}}
    assert contract.missing.unlearned == ("water__level",)
