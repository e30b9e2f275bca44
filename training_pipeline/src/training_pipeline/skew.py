"""How far two samples of one feature lie apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BINS = 10


def population_stability(before: NDArray[np.float64], after: NDArray[np.float64], bins: int = BINS) -> float:
    """Population stability index, Σ (q - p) ln(q / p) over bins that hold equal shares of `before`.

    Custom in credit scoring calls under 0.1 stable and over 0.25 a shift. Without any shift it is about
    (bins - 1)(1/n + 1/m) for samples of n and m rows. Half a row is added to each bin, so that an empty one does
    not give infinity. NaN is left out on both sides; 0 where nothing else is there.

    Args:
        before: (n,)
        after: (m,)
    """
    before, after = before[~np.isnan(before)], after[~np.isnan(after)]
    if not before.size or not after.size:
        return 0.0
    edges = np.unique(np.quantile(before, np.linspace(0, 1, bins + 1)[1:-1], method="inverted_cdf"))
    p, q = (_shares(sample, edges) for sample in (before, after))
    return float(((q - p) * np.log(q / p)).sum())


def missing_share(column: NDArray[np.float64]) -> float:
    """Share of NaN; 0 for no rows."""
    return float(np.isnan(column).mean()) if column.size else 0.0


def _shares(sample: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    counts = np.bincount(np.searchsorted(edges, sample), minlength=edges.size + 1) + 0.5
    shares: NDArray[np.float64] = counts / counts.sum()
    return shares
