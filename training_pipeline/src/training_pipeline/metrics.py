"""How good scores are, and by how much one set of scores is better than another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics as sk

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Metric:
    """A measure of scores (rows,) against outcomes (rows,)."""

    function: Callable[[Floats, Floats], float]
    higher_is_better: bool
    needs_both_classes: bool = False

    def __call__(self, outcome: Floats, score: Floats) -> float | None:
        """The figure; None where it does not exist: no rows, scores that are no numbers, one class only."""
        if not outcome.size or not np.isfinite(score).all():
            return None
        if self.needs_both_classes and np.unique(outcome).size < 2:  # noqa: PLR2004 - both
            return None
        figure = float(self.function(outcome, score))
        return figure if np.isfinite(figure) else None

    def gain(self, new: float, old: float) -> float:
        """By how much `new` is better than `old`; negative where it is worse."""
        return new - old if self.higher_is_better else old - new


def _log_loss(outcome: Floats, score: Floats) -> float:
    return float(sk.log_loss(outcome, score, labels=[0.0, 1.0]))


CLASSIFICATION = {
    "roc_auc": Metric(sk.roc_auc_score, higher_is_better=True, needs_both_classes=True),
    "average_precision": Metric(sk.average_precision_score, higher_is_better=True, needs_both_classes=True),
    "log_loss": Metric(_log_loss, higher_is_better=False),
    "brier": Metric(sk.brier_score_loss, higher_is_better=False, needs_both_classes=True),
}
REGRESSION = {
    "r2": Metric(sk.r2_score, higher_is_better=True),
    "rmse": Metric(sk.root_mean_squared_error, higher_is_better=False),
    "mae": Metric(sk.mean_absolute_error, higher_is_better=False),
}
METRICS = {**CLASSIFICATION, **REGRESSION}


def measure(outcome: Floats, score: Floats, *, classifies: bool) -> dict[str, float | None]:
    """Every metric that goes with the task, by name."""
    chosen = CLASSIFICATION if classifies else REGRESSION
    return {name: metric(outcome, score) for name, metric in chosen.items()}
