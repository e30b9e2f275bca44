"""Unknown, stale and null: told apart from each other and from zero."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest

from twinserve.contract import Contract, MissingPolicy
from twinserve.missing import NO_EVENT, Status, cell_status, model_input, row_reason

HOUR = 3_600_000_000
NOW = 1_700_000_000_000_000


def status_of(contract: Contract, value: float, event: int) -> list[int]:
    values, events = np.array([[value, value]]), np.array([[event, event]])
    cells: list[int] = cell_status(contract, values, events, np.array([NOW]))[0].tolist()
    return cells


@pytest.mark.parametrize(
    ("value", "event", "expected"),
    [
        (0.0, NOW, [Status.PRESENT, Status.PRESENT]),
        (np.nan, NOW, [Status.NULL, Status.NULL]),
        (0.0, NOW - HOUR, [Status.PRESENT, Status.PRESENT]),
        (0.0, NOW - HOUR - 1, [Status.STALE, Status.PRESENT]),
        (np.nan, NOW - HOUR - 1, [Status.STALE, Status.NULL]),
        (np.nan, NO_EVENT, [Status.UNKNOWN, Status.UNKNOWN]),
        (0.0, NOW + 1, [Status.UNKNOWN, Status.UNKNOWN]),
        (np.nan, NOW + HOUR, [Status.UNKNOWN, Status.UNKNOWN]),
    ],
)
def test_cells(build: Callable[..., Contract], value: float, event: int, expected: list[int]) -> None:
    assert status_of(build(), value, event) == expected


@pytest.mark.parametrize("cells", list(product(Status, repeat=2)))
@pytest.mark.parametrize("passed", [(), ("null",), ("null", "stale", "unknown")])
def test_a_row_is_left_out_for_the_gravest_reason_not_passed(
    cells: tuple[Status, ...], passed: tuple[str, ...]
) -> None:
    policy = MissingPolicy(**dict.fromkeys(passed, "pass_as_nan"))
    counted = [cell for cell in cells if cell.name.lower() not in passed]
    expected = max(counted, default=Status.PRESENT)
    assert row_reason(policy, np.array([cells], dtype=np.int8)).tolist() == [expected]


def test_a_stale_value_never_reaches_the_model() -> None:
    seen = model_input(np.array([[1.0, 2.0]]), np.array([[Status.STALE, Status.PRESENT]], dtype=np.int8))
    np.testing.assert_array_equal(seen, [[np.nan, 2.0]])


def test_no_rows(build: Callable[..., Contract]) -> None:
    nothing = np.empty((0, 2))
    status = cell_status(build(), nothing, nothing.astype(np.int64), np.empty(0, np.int64))
    assert row_reason(MissingPolicy(), status).shape == (0,)
