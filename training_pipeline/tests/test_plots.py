from __future__ import annotations

import sys

import numpy as np
import pytest

from training_pipeline.metrics import METRICS
from training_pipeline.plots import (
    FEWEST,
    MOST_BARS,
    MOST_SCORED,
    calibration_points,
    classification_plots,
    effort,
    importance,
    importance_plot,
    regression_plots,
)
from twinserve.missing import Matrix


def test_calibration_points_by_hand() -> None:
    outcome, score = np.array([0.0, 1, 1, 1]), np.array([0.2, 0.4, 0.8, 1.0])

    mean, seen, error = calibration_points(outcome, score, bins=2)

    assert mean.tolist() == pytest.approx([0.3, 0.9])
    assert seen.tolist() == [0.5, 1]
    assert error.tolist() == pytest.approx([0.5 / 2**0.5, 0])


def test_importance_finds_the_feature_that_is_used() -> None:
    from sklearn.linear_model import LinearRegression

    features = np.random.default_rng(1).normal(size=(300, 3))
    model = LinearRegression().fit(features, features[:, 2])

    def score(rows: Matrix) -> Matrix:
        return np.asarray(model.predict(rows))

    drops = importance(model, features, features[:, 2], score, METRICS["rmse"], seed=1)

    assert drops.shape == (3, 5)
    assert drops[2].min() > 0.5
    assert np.abs(drops[:2]).max() < 1e-9
    np.testing.assert_array_equal(drops, importance(model, features, features[:, 2], score, METRICS["rmse"], seed=1))


def test_no_global_state_is_touched() -> None:
    rng = np.random.default_rng(1)
    outcome = rng.integers(0, 2, 50).astype(float)

    figures = classification_plots(outcome, {"candidate": rng.random(50), "champion": rng.random(50)}, "50 rows")
    figures |= regression_plots(rng.random(50), {"candidate": rng.random(50)}, "50 rows")

    assert set(figures) == {"roc", "calibration", "predicted_actual", "residuals"}
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


@pytest.mark.parametrize("features", [1, 3, 40, 41, 200, 1_500, 20_000])
def test_the_work_for_importance_is_bounded_and_each_feature_is_looked_at(features: int) -> None:
    rows, repeats = effort(100_000, features)

    assert 1 <= repeats <= 5
    assert FEWEST <= rows <= 5_000
    assert rows * repeats * features <= max(MOST_SCORED, FEWEST * features)
    assert effort(10, features)[0] == 10


def test_a_wide_model_has_a_plot_that_can_be_drawn() -> None:
    drops = np.arange(1_500.0)[:, None] * [1, 1]

    figure = importance_plot([f"f{number}" for number in range(1_500)], drops, "rmse", "50 rows")

    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert (len(names), names[-1]) == (MOST_BARS, "f1499")
    assert "first 30 of 1,500 features" in figure.axes[0].get_title()
    assert figure.get_size_inches()[1] < 20
