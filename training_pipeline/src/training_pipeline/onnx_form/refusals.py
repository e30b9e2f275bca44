"""What an estimator refuses with an error instead of scoring it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from training_pipeline.onnx_form.trees import NotConvertible
from twinserve.contract import Score
from twinserve.missing import Matrix

LEVELS = (np.inf, float(np.finfo(np.float64).max), 1e300, float(np.finfo(np.float32).max), 1e30)
BLOCK = 16_384


def takes(score: Score, rows: Matrix) -> bool:
    """Whether these rows are scored, whatever the scores are."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of an overflow; the row is there to bring it about
        try:
            score(rows)
        except (ValueError, OverflowError):
            return False
    return True


def takes_nan(score: Score, row: NDArray[np.float64]) -> tuple[bool, ...]:
    """Per feature, whether a NaN there is scored; empty if everywhere.

    Args:
        row: one that is scored.
    """
    if takes(score, np.full((1, row.size), np.nan)):
        return ()
    return tuple(takes(score, changed) for changed in _each_feature(row, np.nan))


def largest_taken(score: Score, row: NDArray[np.float64]) -> tuple[float | None, ...]:
    """Per feature, the largest of `LEVELS` that is scored with both signs, None for infinity; empty if all are.

    Raises:
        NotConvertible: a feature can't even be as large as the smallest.
    """
    if all(takes(score, np.full((1, row.size), sign * np.inf)) for sign in (1, -1)):
        return ()
    found: list[float | None] = []
    for column in range(row.size):
        level = next((size for size in LEVELS if _takes_size(score, row, column, size)), None)
        if level is None:
            raise NotConvertible(f"its original refuses {LEVELS[-1]:g}")
        found.append(None if np.isinf(level) else level)
    return tuple(found)


def scored_or_refused(score: Score, rows: Matrix) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scores, NaN where refused, and which rows were; each (rows,).

    A block with a refused row is refused as a whole, so it is halved until the row is found.
    """
    scores, refused = np.full(len(rows), np.nan), np.zeros(len(rows), bool)
    blocks = [slice(first, min(first + BLOCK, len(rows))) for first in range(0, len(rows), BLOCK)]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        while blocks:
            block = blocks.pop()
            try:
                scores[block] = score(rows[block])
            except (ValueError, OverflowError):
                middle = (block.start + block.stop) // 2
                refused[block] = middle == block.start
                blocks += [slice(block.start, middle), slice(middle, block.stop)] if middle > block.start else []
    return scores, refused


def _takes_size(score: Score, row: NDArray[np.float64], column: int, size: float) -> bool:
    changed = np.repeat(row[None], 2, axis=0)
    changed[:, column] = size, -size
    return takes(score, changed)


def _each_feature(row: NDArray[np.float64], value: float) -> Iterator[Matrix]:
    for column in range(row.size):
        changed = row[None].copy()
        changed[0, column] = value
        yield changed
