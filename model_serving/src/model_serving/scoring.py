"""Features in, scores or reasons out: the one place where batch and online become an answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from twinserve.missing import REASONS, Matrix, Status, model_input, row_reason
from twinserve.registry import ServedModel

SCORED = int(Status.PRESENT)
NO_SCORE = max(Status) + 1
REASON_NAMES: dict[int, str] = {**{int(kind): name for kind, name in REASONS.items()}, NO_SCORE: "no_score"}


@dataclass(frozen=True)
class Scored:
    """One entry per row.

    Attributes:
        scores: (rows,) float64; NaN exactly where a reason is given.
        reasons: (rows,) int8: `SCORED`, or why a row has no score: a key of `REASON_NAMES`, which are the kinds of
            `twinserve.missing`, and `NO_SCORE` where the model gave something that is no finite number.
    """

    scores: NDArray[np.float64]
    reasons: NDArray[np.int8]


def score_cells(model: ServedModel, values: Matrix, status: NDArray[np.int8]) -> Scored:
    """Score what the contract's policy lets through, both (rows, features)."""
    left_out = row_reason(model.contract.missing, status)
    kept = left_out == SCORED
    scores = np.full(len(values), np.nan)
    if kept.any():
        chosen = slice(None) if kept.all() else kept  # a slice copies nothing
        scores[chosen] = model.score(model_input(values[chosen], status[chosen]))
    finite = np.isfinite(scores)
    reasons = np.where(finite | ~kept, left_out, np.int8(NO_SCORE))
    return Scored(np.where(finite, scores, np.nan), reasons)


def score_complete(model: ServedModel, values: Matrix) -> Scored:
    """What `score_cells` gives where every cell is present."""
    scores = model.score(values)
    if np.isfinite(scores).all():
        return Scored(scores, np.zeros(len(values), np.int8))
    finite = np.isfinite(scores)
    return Scored(np.where(finite, scores, np.nan), np.where(finite, SCORED, NO_SCORE).astype(np.int8))


def reason_names(reasons: NDArray[np.int8]) -> pa.StringArray:
    """The names of these codes, (rows,); null for a scored row."""
    names = pa.array([REASON_NAMES.get(code) for code in range(NO_SCORE + 1)], pa.string())
    return names.take(pa.array(reasons))


def count_reasons(reasons: NDArray[np.int8]) -> NDArray[np.int64]:
    """How many rows have each code: (NO_SCORE + 1,), by code; counts of several chunks add up."""
    counts: NDArray[np.int64] = np.bincount(reasons, minlength=NO_SCORE + 1)
    return counts
