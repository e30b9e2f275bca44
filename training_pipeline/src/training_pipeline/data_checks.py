"""Is the training set fit to train on? Pure functions from rows to checks."""

from __future__ import annotations

from collections.abc import Container

import numpy as np
from numpy.typing import NDArray

from training_pipeline.checks import Check, at_least, at_most, named
from training_pipeline.params import DataChecks, Params
from training_pipeline.prepared_rows import usable_mask
from training_pipeline.skew import missing_share, population_stability
from training_pipeline.targets import Targets, class_counts
from training_pipeline.time_split import first_test_moment
from training_pipeline.training_rows import TrainingRows
from twinserve.contract import Contract
from twinserve.errors import PermanentError
from twinserve.missing import Status

OUTCOME = "outcome"


def check_data(rows: TrainingRows, targets: Targets, params: Params) -> list[Check]:
    """Every check of the training set. Skew is judged only where there are enough rows to see any."""
    limits = params.data_checks
    usable = usable_mask(rows, targets)
    enough = at_least("min_rows", int(usable.sum()), limits.min_rows, "usable rows:")
    checks = [enough, *check_shares(rows, targets, limits)]
    if params.classifies:
        checks += check_classes(targets.values[usable], limits.min_rows_per_class, "data")
    return checks + (_check_skew(rows, targets, usable, params) if enough.passed else [])


def check_shares(rows: TrainingRows, targets: Targets, limits: DataChecks) -> list[Check]:
    """Bad targets, rows left out, and missing values of each feature, as shares of all rows."""
    missing = np.isnan(rows.model_input)
    checks = [
        at_most("max_bad_targets", _share(~targets.usable), limits.max_bad_targets, "share of bad targets:"),
        at_most("max_left_out", _share(rows.reason != Status.PRESENT), limits.max_left_out, "share of rows left out:"),
    ]
    return checks + [
        at_most(f"max_missing({name})", _share(missing[:, i]), limits.max_missing, "share of rows without it:")
        for i, name in enumerate(rows.contract.columns)
    ]


def check_classes(values: NDArray[np.generic], at_least_rows: int, part: str) -> list[Check]:
    """At least two classes, each with enough rows."""
    counts = class_counts(values)
    checks = [at_least("classes", len(counts), 2, f"classes in the {part}:")]
    return checks + [
        at_least(f"min_rows_per_class({name})", count, at_least_rows, f"rows of it in the {part}:")
        for name, count in counts.items()
    ]


def check_learned(contract: Contract, lacking: Container[str]) -> Check:
    """Has the model seen what it may be given? Without a NaN in training, where one leads is an accident.

    Args:
        lacking: columns that were NaN in a training row.
    """
    unlearned = contract.missing.unlearned_among(contract.columns, lacking)
    if not unlearned:
        return Check("pass_as_nan", passed=True, says="every feature that may be passed as NaN was so in training")
    says = (
        f"`missing` passes NaN to a model that never saw one, since no training row lacks {named(unlearned)}: have "
        "such rows left out, or list these features under `missing.unlearned`"
    )
    return Check("pass_as_nan", passed=False, says=says)


def check_shift(name: str, before: NDArray[np.float64], after: NDArray[np.float64], limits: DataChecks) -> list[Check]:
    """Does one column of the test rows look like that of the training rows?"""
    moved = abs(missing_share(after) - missing_share(before))
    apart = population_stability(before, after)
    return [
        at_most(f"max_missing_shift({name})", moved, limits.max_missing_shift, "shift of the share missing:"),
        at_most(f"max_psi({name})", apart, limits.max_psi, "stability index:"),
    ]


def _check_skew(rows: TrainingRows, targets: Targets, usable: NDArray[np.bool_], params: Params) -> list[Check]:
    try:
        moment = first_test_moment(rows.asked[usable], params.split)
    except PermanentError as error:
        return [Check("split", passed=False, says=error.what)]
    late = rows.asked >= moment
    checks = [check_learned(rows.contract, rows.passed_as_nan(usable & ~late))]
    # features over all rows, as the policy would hide what goes missing; outcomes where there is one
    for i, name in enumerate(rows.contract.columns):
        column = rows.model_input[:, i]
        checks += check_shift(name, column[~late], column[late], params.data_checks)
    early_outcome, late_outcome = targets.outcome[usable & ~late], targets.outcome[usable & late]
    return checks + check_shift(OUTCOME, early_outcome, late_outcome, params.data_checks)


def _share(mask: NDArray[np.bool_]) -> float:
    return float(mask.mean()) if mask.size else 0.0
