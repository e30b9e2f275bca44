"""From features to scores or reasons."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_serving.scoring import NO_SCORE, count_reasons, reason_names, score_cells, score_complete
from twinserve.contract import Contract, FeatureColumn, JoinKey, MissingPolicy, Output, Tolerance
from twinserve.missing import NO_EVENT, cell_status
from twinserve.registry import ServedModel

NOW = 1_700_000_000_000_000
DAY = 86_400_000_000


def contract(**missing: str) -> Contract:
    columns = [("fast", 86_400), ("slow", None)]
    return Contract(
        project="p",
        feature_service="s",
        join_keys=(JoinKey(name="key", dtype="INT64"),),
        features=tuple(
            FeatureColumn(view=view, name="level", dtype="DOUBLE", ttl_seconds=ttl, join_keys=("key",))
            for view, ttl in columns
        ),
        output=Output(method="predict", target="t", meaning="m"),
        missing=MissingPolicy.model_validate(missing),
        tolerance=Tolerance(absolute=0, relative=0, why="none needed"),
        libraries={},
    )


def model(**missing: str) -> ServedModel:
    return ServedModel("m", "1", contract(**missing), lambda rows: np.nansum(rows, axis=1))


def scored(
    served: ServedModel, values: list[list[float]], ages: list[list[int | None]]
) -> tuple[list[float], list[str | None]]:
    times = [[NO_EVENT if age is None else NOW - age for age in row] for row in ages]
    status = cell_status(served.contract, np.array(values), np.array(times), np.full(len(values), NOW))
    result = score_cells(served, np.array(values), status)
    assert len(values) == count_reasons(result.reasons).sum()
    return result.scores.tolist(), reason_names(result.reasons).to_pylist()


def test_present_rows_are_scored_and_others_say_why() -> None:
    values: list[list[float]] = [[1, 2], [1, np.nan], [1, 2], [np.nan, 2], [np.nan, np.nan]]
    ages: list[list[int | None]] = [[0, 0], [0, 0], [DAY + 1, 0], [None, 0], [None, None]]
    scores, reasons = scored(model(), values, ages)
    assert reasons == [None, "null", "stale", "unknown", "unknown"]
    assert scores[0] == 3
    assert np.isnan(scores[1:]).all()


def test_a_value_is_fresh_up_to_and_with_its_ttl() -> None:
    assert scored(model(), [[1, 2]], [[DAY, 900 * DAY]])[1] == [None]


def test_a_tolerated_kind_reaches_the_model_as_nan_even_where_a_stale_value_is_there() -> None:
    served = model(stale="pass_as_nan", null="pass_as_nan")
    scores, reasons = scored(served, [[100, 2], [1, np.nan]], [[DAY + 1, 0], [0, 0]])
    assert (scores, reasons) == ([2, 1], [None, None])


@pytest.mark.parametrize("given", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_no_number_leaves_the_row_out(given: float) -> None:
    served = ServedModel("m", "1", contract(), lambda rows: np.where(rows[:, 0] == 0, given, rows[:, 0]))
    scores, reasons = scored(served, [[0, 1], [5, 1]], [[0, 0], [0, 0]])
    assert reasons == ["no_score", None]
    assert np.isnan(scores[0])
    assert scores[1] == 5


def test_the_model_is_not_called_when_no_row_is_left() -> None:
    def fail(_: object) -> np.ndarray:
        raise AssertionError("called")

    assert scored(ServedModel("m", "1", contract(), fail), [[1, 2]], [[None, None]])[1] == ["unknown"]


@given(
    st.lists(
        st.tuples(st.one_of(st.just(np.nan), st.floats(-1e6, 1e6)), st.sampled_from([0, DAY, DAY + 1, None])),
        min_size=1,
        max_size=30,
    )
)
def test_a_row_is_judged_alone(rows: list[tuple[float, int | None]]) -> None:
    """Whatever stands beside a row, its score and its reason are what they are when it stands alone."""
    values, ages = [[value, 1.0] for value, _ in rows], [[age, 0] for _, age in rows]
    scores, reasons = scored(model(), values, ages)
    alone = [scored(model(), [v], [a]) for v, a in zip(values, ages, strict=True)]
    assert reasons == [reason for _, (reason,) in alone]
    np.testing.assert_array_equal(scores, [score for (score,), _ in alone])


def test_names_are_texts_and_counts_have_a_place_for_each_code() -> None:
    """So that those of several chunks add up, whichever codes a chunk has."""
    codes = np.arange(NO_SCORE + 1, dtype=np.int8)
    assert reason_names(codes).to_pylist() == [None, "null", "stale", "unknown", "no_score"]
    assert str(reason_names(codes[:0]).type) == str(reason_names(codes[:1]).type) == "string"
    assert count_reasons(codes).tolist() == [1] * 5
    assert count_reasons(codes[:1]).tolist() == [1, 0, 0, 0, 0]


def test_where_all_is_present_rows_are_scored_alike() -> None:
    served = ServedModel("m", "1", contract(), lambda rows: np.where(rows[:, 0] == 0, np.inf, rows[:, 0]))
    for values in ([[1.0, 1.0], [2.0, 1.0]], [[1.0, 1.0], [0.0, 1.0]]):
        rows = np.array(values)
        whole, cells = score_complete(served, rows), score_cells(served, rows, np.zeros(rows.shape, np.int8))
        np.testing.assert_array_equal(whole.scores, cells.scores)
        assert whole.reasons.tolist() == cells.reasons.tolist()
        assert whole.reasons.dtype == cells.reasons.dtype == np.dtype("i1")
