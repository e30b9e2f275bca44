"""The order in which rows go to the trees."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as of_numpy

from twinserve.model.row_order import Cut, row_order

CUTS = (Cut(feature=1, edges=(-1.0, 0.0, 2.5)), Cut(feature=0, edges=(0.5,)))
VALUES = st.one_of(st.sampled_from([-1.0, 0.0, 0.5, 2.5, np.nan, np.inf, -np.inf]), st.floats(-5, 5))


@given(of_numpy.arrays(np.float64, st.tuples(st.integers(0, 40), st.just(2)), elements=VALUES))
def test_every_row_once_cell_by_cell_and_as_they_came_within_a_cell(rows: np.ndarray) -> None:
    order = row_order(rows, CUTS)

    assert sorted(order.tolist()) == list(range(len(rows)))
    cells = [cell(row) for row in rows[order]]
    assert cells == sorted(cells)
    assert all(a < b for a, b, one, next_ in zip(order, order[1:], cells, cells[1:], strict=False) if one == next_)


def cell(row: np.ndarray) -> tuple[int, ...]:
    """By plain comparison: how many edges lie below the value; a NaN lies above all."""
    return tuple(sum(not row[cut.feature] <= edge for edge in cut.edges) for cut in CUTS)


def test_without_cuts_rows_stay_as_they_are() -> None:
    assert row_order(np.array([[2.0], [1.0]]), ()).tolist() == [0, 1]
