from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_pipeline.baselines import best_single_feature, constant_scores, decile_means
from training_pipeline.metrics import METRICS, measure


def test_roc_auc_counts_the_pairs_in_order() -> None:
    outcome, score = np.array([0.0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])

    assert METRICS["roc_auc"](outcome, score) == 0.75


def test_measures_of_a_regression() -> None:
    found = measure(np.array([1.0, 2, 3]), np.array([1.0, 2, 6]), classifies=False)

    assert found == {"r2": pytest.approx(-3.5), "rmse": pytest.approx(3**0.5), "mae": 1.0}


@pytest.mark.parametrize(
    ("outcome", "score"), [([1, 1], [0.2, 0.4]), ([0, 1], [0.2, np.nan]), ([], [])], ids=["one class", "nan", "no rows"]
)
def test_what_does_not_exist_is_none(outcome: list[float], score: list[float]) -> None:
    assert METRICS["roc_auc"](np.array(outcome), np.array(score)) is None


def test_gain_is_positive_where_the_new_is_better() -> None:
    assert METRICS["roc_auc"].gain(0.7, 0.6) == pytest.approx(0.1)
    assert METRICS["rmse"].gain(0.7, 0.6) == pytest.approx(-0.1)


def test_the_constant_is_the_mean_of_the_training_rows() -> None:
    assert constant_scores(np.array([0.0, 1, 1, 0, 1]), 2).tolist() == [0.6, 0.6]


def test_the_feature_that_tells_most_is_chosen() -> None:
    rng = np.random.default_rng(5)
    train = rng.random((500, 3))
    outcome = (train[:, 1] > 0.5).astype(float)

    best, scores = best_single_feature(train, outcome, np.array([[0.9, 0.1, 0.9], [0.1, 0.9, 0.1]]), METRICS["roc_auc"])

    assert best == 1
    assert scores.tolist() == [0.0, 1.0]


def test_a_missing_value_has_a_mean_of_its_own() -> None:
    known, outcome = np.array([1.0, 1, np.nan, np.nan]), np.array([0.0, 0, 1, 1])

    assert decile_means(known, outcome, np.array([1.0, np.nan])).tolist() == [0, 1]


@given(st.lists(st.tuples(st.floats(-9, 9) | st.just(float("nan")), st.floats(-5, 5)), min_size=1, max_size=40))
def test_means_stay_within_the_outcomes_and_add_up(rows: list[tuple[float, float]]) -> None:
    known, outcome = (np.array(column) for column in zip(*rows, strict=True))

    means = decile_means(known, outcome, known)

    assert means.min() >= outcome.min() - 1e-9
    assert means.max() <= outcome.max() + 1e-9
    assert means.sum() == pytest.approx(outcome.sum(), abs=1e-9)
