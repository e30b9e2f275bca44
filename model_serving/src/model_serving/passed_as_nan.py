"""Which scored rows lack features: the contract's `pass_as_nan` gives the model a NaN, and nobody must overlook it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from model_serving.scoring import SCORED
from twinserve.contract import Contract
from twinserve.missing import REASONS, Status

# (rows, views): the gravest `Status` of a view's features; `PRESENT` where a row has no score
Passed = NDArray[np.int8]


class PassedSummary(BaseModel):
    """Of some rows; summaries add up.

    Attributes:
        rows: scored although at least one feature was missing.
        views: view → reason → rows; a row that lacks features of two views counts under both.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int = 0
    views: dict[str, dict[str, int]] = {}

    def joined(self, other: PassedSummary) -> PassedSummary:
        """Of both."""
        names = sorted({*self.views, *other.views})
        views = {name: Counter(self.views.get(name, {})) + Counter(other.views.get(name, {})) for name in names}
        return PassedSummary(
            rows=self.rows + other.rows, views={name: dict(sorted(counts.items())) for name, counts in views.items()}
        )


class PassedAsNaN:
    """Finds and names what was passed on, for one contract.

    Attributes:
        views: the feature views, in the order of the columns of what `found` gives.
    """

    def __init__(self, contract: Contract) -> None:
        self.views = contract.views
        features = list(enumerate(contract.features))
        self._columns = [[place for place, feature in features if feature.view == view] for view in self.views]
        self._possible = any(getattr(contract.missing, reason) == "pass_as_nan" for reason in REASONS.values())

    def found(self, status: NDArray[np.int8], reasons: NDArray[np.int8]) -> Passed | None:
        """What the model was not given, of rows that have a score; None where that is nothing.

        Args:
            status: (rows, features)
            reasons: (rows,), as `Scored` has them.
        """
        if not (self._possible and status.any()):
            return None
        gravest = np.column_stack([status[:, columns].max(axis=1) for columns in self._columns])
        gravest[reasons != SCORED] = Status.PRESENT
        return gravest if gravest.any() else None

    def named(self, row: Passed) -> dict[str, str]:
        """View → reason, of one row; empty for a complete one."""
        kinds = zip(self.views, row.tolist(), strict=True)
        return {view: REASONS[Status(kind)] for view, kind in kinds if kind != Status.PRESENT}

    def texts(self, found: Passed | None, rows: int) -> pa.StringArray:
        """`prices: stale; weather: unknown` for each row, null for complete ones; (rows,)."""
        if found is None:
            return pa.nulls(rows, pa.string())
        kinds, of_row = np.unique(found, axis=0, return_inverse=True)  # a handful, however many rows
        texts = ["; ".join(f"{view}: {why}" for view, why in self.named(kind).items()) or None for kind in kinds]
        return pa.array(texts, pa.string()).take(pa.array(of_row.ravel()))

    def summary(self, found: Passed | None) -> PassedSummary:
        """Over all rows."""
        if found is None:
            return PassedSummary()
        counts = {view: _by_reason(found[:, place]) for place, view in enumerate(self.views)}
        rows = int(found.any(axis=1).sum())
        return PassedSummary(rows=rows, views={view: reasons for view, reasons in counts.items() if reasons})


def _by_reason(kinds: NDArray[np.int8]) -> dict[str, int]:
    counts = {reason: int((kinds == kind).sum()) for kind, reason in REASONS.items()}
    return {reason: count for reason, count in counts.items() if count}
