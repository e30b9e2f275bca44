"""The target column: which of its values can be learned from, and what a score is measured against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from training_pipeline.params import Params


@dataclass(frozen=True)
class Targets:
    """One value per row.

    Attributes:
        values: classes (int64, bool or str), or float64 for a regression; arbitrary where not `usable`.
        usable: neither null nor outside what `labels` declares.
        outcome: what a score should come close to: 1 for the positive class and 0 for others, or the value itself.
    """

    values: NDArray[np.generic]
    usable: NDArray[np.bool_]
    outcome: NDArray[np.float64]


def read_targets(column: pa.ChunkedArray, params: Params) -> Targets:
    """The target of the joined rows, as the parameters declare it."""
    return _classes(column, params) if params.classifies else _numbers(column, params)


def class_counts(values: NDArray[np.generic]) -> dict[str, int]:
    """Rows by class, in the order of the classes."""
    classes, counts = np.unique(values, return_counts=True)
    return {str(name): int(count) for name, count in zip(classes, counts, strict=True)}


def outcome_of(values: NDArray[np.generic], params: Params) -> NDArray[np.float64]:
    """See `Targets.outcome`."""
    if params.classifies:
        return np.asarray(values == params.output.positive_class, dtype=np.float64)
    return np.asarray(values, dtype=np.float64)


def _classes(column: pa.ChunkedArray, params: Params) -> Targets:
    filled = column.fill_null("" if pa.types.is_string(column.type) else pa.scalar(0).cast(column.type))
    values = np.array(filled.to_pylist()) if pa.types.is_string(column.type) else filled.to_numpy()
    usable = column.is_valid().to_numpy()
    if params.labels.classes:
        usable = usable & np.isin(values, np.array(params.labels.classes))
    return Targets(values, usable, outcome_of(values, params))


def _numbers(column: pa.ChunkedArray, params: Params) -> Targets:
    values = column.cast(pa.float64()).fill_null(np.nan).to_numpy()
    lowest, highest = params.labels.lowest, params.labels.highest
    usable = np.isfinite(values)
    usable &= values >= (-np.inf if lowest is None else lowest)
    usable &= values <= (np.inf if highest is None else highest)
    return Targets(values, usable, values)
