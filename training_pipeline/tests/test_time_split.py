from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_pipeline.params import Split
from training_pipeline.time_split import first_test_moment, instant
from twinserve.errors import PermanentError


def moment(times: list[int], share: float) -> int:
    return first_test_moment(np.array(times, dtype=np.int64), Split(test=share))


def test_the_latest_share_is_for_testing() -> None:
    assert moment([5, 3, 1, 2, 4], 0.4) == 4


def test_rows_of_one_moment_stay_together() -> None:
    assert moment([1, 2, 2, 2, 2], 0.2) == 2


def test_ties_back_to_the_first_row_give_way() -> None:
    assert moment([1, 1, 1, 1, 9], 0.6) == 9


def test_an_absolute_moment() -> None:
    split = Split.model_validate({"test_from": "1970-01-01T00:00:00.000003Z"})

    assert first_test_moment(np.array([1, 3, 5]), split) == 3


@pytest.mark.parametrize("times", [[], [7], [7, 7, 7]])
def test_one_moment_cannot_be_split(times: list[int]) -> None:
    with pytest.raises(PermanentError, match="split by time"):
        moment(times, 0.5)


def test_an_absolute_moment_after_all_rows_is_refused() -> None:
    split = Split.model_validate({"test_from": "2030-01-01T00:00:00Z"})

    with pytest.raises(PermanentError, match="3 are before 2030-01-01"):
        first_test_moment(np.array([1, 2, 3]), split)


def test_beyond_the_calendar() -> None:
    assert instant(2**62).year == 9999


@given(st.lists(st.integers(-50, 50), min_size=2).filter(lambda t: len(set(t)) > 1), st.floats(0.01, 0.99))
def test_no_test_row_is_earlier_than_a_training_row(times: list[int], share: float) -> None:
    rows = np.array(times, dtype=np.int64)

    begins = moment(times, share)

    train, test = rows[rows < begins], rows[rows >= begins]
    assert train.size
    assert test.size
    assert train.max() < test.min()
    assert begins in times


@given(st.lists(st.integers(-50, 50), min_size=2, unique=True), st.floats(0.01, 0.99))
def test_without_ties_the_share_is_met(times: list[int], share: float) -> None:
    begins = moment(times, share)

    wanted = min(max(1, round(len(times) * share)), len(times) - 1)
    assert sum(time >= begins for time in times) == wanted
