"""The handful of rows whose scores travel with a model: the edges of what it has seen, and what it may meet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from twinserve.contract import GoldenRow, MissingPolicy, Score
from twinserve.missing import Matrix

MOST = 16


def choose_golden(features: Matrix, score: Score, policy: MissingPolicy) -> tuple[GoldenRow, ...]:
    """Lowest, middle and highest score; lowest and highest of each feature; all missing, where that is scored.

    Args:
        features: (rows, features), at least one row.

    Returns:
        At most `MOST` rows, no two alike, each scored by itself as it will be when it is checked.
    """
    chosen = features[_telling(features, score(features))]
    if policy.passes:
        chosen = np.vstack([np.full((1, features.shape[1]), np.nan), chosen])
    rows: dict[tuple[float | None, ...], GoldenRow] = {}
    for row in chosen:
        values = tuple(None if np.isnan(value) else float(value) for value in row)
        rows.setdefault(values, GoldenRow(features=values, score=float(score(row[None, :])[0])))
    return tuple(rows.values())[:MOST]


def _telling(features: Matrix, scores: NDArray[np.float64]) -> list[int]:
    order = np.argsort(scores, kind="stable")
    chosen = [int(order[0]), int(order[order.size // 2]), int(order[-1])]
    for column in features.T:
        if not np.isnan(column).all():
            chosen += [int(np.nanargmin(column)), int(np.nanargmax(column))]
    return chosen
