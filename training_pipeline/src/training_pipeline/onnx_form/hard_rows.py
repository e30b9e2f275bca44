"""Rows at which two forms of one model would differ, if they differ anywhere."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from twinserve.missing import Matrix

FLOAT32, FLOAT64 = np.finfo(np.float32), np.finfo(np.float64)
SPECIAL = np.array(
    [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 0.1, 1 / 3, 2.0**24 + 1, 2.0**53, 1e15, -1e15]
    + [sign * size for sign in (1, -1) for size in (FLOAT32.max, FLOAT32.tiny, FLOAT32.smallest_subnormal)]
    + [sign * size for sign in (1, -1) for size in (1e300, FLOAT64.tiny, FLOAT64.smallest_subnormal)]
)
MOST_THRESHOLDS = 500  # of one feature; of more, as many evenly spaced
MIXED = 4_096


def hard_rows(known: Matrix, thresholds: Mapping[int, NDArray[np.float64]], seed: int) -> Matrix:
    """Known rows with one feature moved to where it hurts, and rows made of such values throughout; the same each time.

    Per feature: NaN, infinities, both zeros, tiny and huge values; every threshold and its neighbours in float64 and
    float32; and the known values rounded to float32.

    Args:
        known: (rows, features), at least one row.
        thresholds: per feature, where the model's trees split; of a feature without, quantiles of the known values.
    """
    rng = np.random.default_rng(seed)
    columns = range(known.shape[1])
    values = [_values(known[:, column], thresholds.get(column, np.zeros(0))) for column in columns]
    moved = [_moved(known[rng.integers(len(known), size=len(at))], column, at) for column, at in enumerate(values)]
    mixed = np.column_stack([rng.choice(at, MIXED) for at in values])
    singles = known[rng.integers(len(known), size=1000)].astype(np.float32).astype(np.float64)
    return np.vstack([*moved, mixed, singles])


def _values(known: NDArray[np.float64], thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    finite = known[np.isfinite(known)]
    at = (
        np.unique(thresholds)
        if thresholds.size
        else np.quantile(finite, np.linspace(0, 1, 21))
        if finite.size
        else finite
    )
    if at.size > MOST_THRESHOLDS:
        at = at[np.linspace(0, at.size - 1, MOST_THRESHOLDS).astype(int)]
    with np.errstate(over="ignore"):
        single = at.astype(np.float32)
        near = [np.nextafter(single, np.float32(end)).astype(np.float64) for end in (-np.inf, np.inf)]
    return np.concatenate(
        [SPECIAL, at, np.nextafter(at, -np.inf), np.nextafter(at, np.inf), single.astype(np.float64), *near]
    )


def _moved(rows: Matrix, column: int, values: NDArray[np.float64]) -> Matrix:
    rows[:, column] = values
    return rows
