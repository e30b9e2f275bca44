"""What a model has to beat: a constant, and the best single feature."""

from __future__ import annotations

import numpy as np

from training_pipeline.metrics import Floats, Metric
from twinserve.missing import Matrix

BINS = 10


def constant_scores(train_outcome: Floats, rows: int) -> Floats:
    """The mean of the training rows, for every row."""
    return np.full(rows, train_outcome.mean())


def best_single_feature(train: Matrix, train_outcome: Floats, test: Matrix, metric: Metric) -> tuple[int, Floats]:
    """The feature whose deciles alone predict the training rows best, and its scores for the test rows.

    Returns:
        index of the feature, (test rows,)
    """

    def fit(i: int) -> float:
        own = decile_means(train[:, i], train_outcome, train[:, i])
        figure = metric(train_outcome, own)
        return -np.inf if figure is None else metric.gain(figure, 0.0)

    best = max(range(train.shape[1]), key=fit)
    return best, decile_means(train[:, best], train_outcome, test[:, best])


def decile_means(known: Floats, outcome: Floats, asked: Floats) -> Floats:
    """The mean outcome of the decile of `known` that each value of `asked` falls into; NaN is a bin of its own.

    Args:
        known: (n,)
        outcome: (n,)
        asked: (m,)

    Returns:
        (m,); the overall mean for a bin in which `known` has no row.
    """
    present = known[~np.isnan(known)]
    edges = (
        np.unique(np.quantile(present, np.linspace(0, 1, BINS + 1)[1:-1], method="inverted_cdf"))
        if present.size
        else np.empty(0)
    )
    bins, asked_bins = _bins(known, edges), _bins(asked, edges)
    counts = np.bincount(bins, minlength=edges.size + 2)
    sums = np.bincount(bins, weights=outcome, minlength=edges.size + 2)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), outcome.mean())
    found: Floats = means[asked_bins]
    return found


def _bins(values: Floats, edges: Floats) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.where(np.isnan(values), edges.size + 1, np.searchsorted(edges, values)).astype(np.int64)
