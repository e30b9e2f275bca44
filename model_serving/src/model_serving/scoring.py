"""Features in, scores or reasons out: the one place where batch and online become an answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twinserve.missing import REASONS, Matrix, Status, cell_status, model_input, row_reason
from twinserve.registry import ServedModel

NO_SCORE = "no_score"


@dataclass(frozen=True)
class Scored:
    """One entry per row.

    Attributes:
        scores: (rows,) float64; NaN exactly where a reason is given.
        reasons: why a row has no score: `unknown`, `stale` or `null` as `twinserve.missing` has them, or `no_score`
            where the model gave something that is no finite number; None for a scored row.
    """

    scores: NDArray[np.float64]
    reasons: list[str | None]


def score_rows(model: ServedModel, values: Matrix, event_times: NDArray[np.int64], asked: NDArray[np.int64]) -> Scored:
    """Score what the contract's policy lets through; arguments as for `twinserve.missing.cell_status`."""
    status = cell_status(model.contract, values, event_times, asked)
    left_out = row_reason(model.contract.missing, status)
    kept = left_out == Status.PRESENT
    scores = np.full(len(values), np.nan)
    if kept.any():
        scores[kept] = model.score(model_input(values[kept], status[kept]))
    finite = np.isfinite(scores)
    reasons = [
        None if good else REASONS.get(Status(reason), NO_SCORE) for good, reason in zip(finite, left_out, strict=True)
    ]
    return Scored(np.where(finite, scores, np.nan), reasons)
