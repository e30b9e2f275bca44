"""The same commands on another project: string keys, two views that share a feature's name, a number to predict."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from twinserve.errors import PermanentError

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
