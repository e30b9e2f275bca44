"""Each column of the joined rows in two parts, as the split by time will have them: of training and of test rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training_pipeline.params import Params
from training_pipeline.prepared_rows import usable_mask
from training_pipeline.targets import Targets
from training_pipeline.time_split import first_test_moment
from training_pipeline.training_rows import TrainingRows
from twinserve.missing import Matrix

OUTCOME = "outcome"
Halves = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class SplitColumns:
    """Features over all rows, as the policy would hide what goes missing; outcomes where there is one.

    Attributes:
        late: (rows,): test rows.
    """

    columns: list[str]
    values: Matrix
    outcome: NDArray[np.float64]
    usable: NDArray[np.bool_]
    late: NDArray[np.bool_]

    def of(self, name: str) -> Halves:
        """A feature of the training rows, and of the test rows; NaN where it is missing."""
        column = self.values[:, self.columns.index(name)]
        return column[~self.late], column[self.late]

    def of_outcome(self) -> Halves:
        """The outcome of the training rows, and of the test rows."""
        return self.outcome[self.usable & ~self.late], self.outcome[self.usable & self.late]


def split_columns(rows: TrainingRows, targets: Targets, params: Params) -> SplitColumns:
    """The joined rows in two parts.

    Raises:
        PermanentError: they can't be split.
    """
    usable = usable_mask(rows, targets)
    late = rows.asked >= first_test_moment(rows.asked[usable], params.split)
    return SplitColumns(rows.contract.columns, rows.model_input, targets.outcome, usable, late)
