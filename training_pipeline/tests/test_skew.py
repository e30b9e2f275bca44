from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from training_pipeline.skew import missing_share, population_stability

numbers = st.floats(-1e6, 1e6) | st.just(float("nan"))


def test_one_distribution_is_stable_and_a_moved_one_is_not() -> None:
    rng = np.random.default_rng(1)
    before = rng.normal(0, 1, 4000)

    assert population_stability(before, rng.normal(0, 1, 1000)) < 0.05
    assert population_stability(before, rng.normal(1, 1, 1000)) > 0.5


def test_two_values_by_hand() -> None:
    """Bins {0}, {1}, above: shares (1.5, 2.5, .5)/4.5 against (2.5, 1.5, .5)/4.5."""
    before, after = np.array([0.0, 1, 1]), np.array([0.0, 0, 1])

    expected = 2 * (1 / 4.5) * np.log(2.5 / 1.5)

    assert population_stability(before, after) == pytest.approx(expected)


def test_a_constant_that_changes_is_seen() -> None:
    assert population_stability(np.zeros(1000), np.ones(1000)) > 1


@given(
    arrays(np.float64, st.integers(0, 50), elements=numbers), arrays(np.float64, st.integers(0, 50), elements=numbers)
)
def test_it_is_a_finite_distance(before: np.ndarray, after: np.ndarray) -> None:
    found = population_stability(before, after)

    assert np.isfinite(found)
    assert found >= 0
    assert population_stability(before, before) == 0


def test_missing_share() -> None:
    assert missing_share(np.array([1.0, np.nan, np.nan, 2.0])) == 0.5
    assert missing_share(np.array([])) == 0
