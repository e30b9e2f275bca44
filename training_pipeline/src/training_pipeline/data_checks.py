"""Is the training set fit to train on? Pure functions from rows to checks."""

from __future__ import annotations

from collections.abc import Container

import numpy as np
from numpy.typing import NDArray

from training_pipeline.checks import Check, at_least, at_most, named
from training_pipeline.limits import AppliedLimits, DataChecks, FeatureCheck, Level
from training_pipeline.params import Params
from training_pipeline.prepared_rows import usable_mask
from training_pipeline.skew import missing_share, population_stability
from training_pipeline.split_columns import OUTCOME, split_columns
from training_pipeline.targets import Targets, class_counts
from training_pipeline.training_rows import TrainingRows
from twinserve.contract import Contract
from twinserve.errors import PermanentError
from twinserve.missing import REASONS, Status


def check_data(rows: TrainingRows, targets: Targets, params: Params) -> list[Check]:
    """Every check of the training set. Skew is judged only where there are enough rows to see any."""
    limits = params.data_checks
    usable = usable_mask(rows, targets)
    count = int(usable.sum())
    enough = at_least("min_rows", count, limits.min_rows, "usable rows:", limits.level("min_rows"))
    checks = [enough, *check_shares(rows, targets, limits)]
    if params.classifies:
        level = limits.level("min_rows_per_class")
        checks += check_classes(targets.values[usable], limits.min_rows_per_class, "data", level)
    return checks + (_check_skew(rows, targets, usable, params) if enough.status != "fail" else [])


def check_shares(rows: TrainingRows, targets: Targets, limits: DataChecks) -> list[Check]:
    """Bad targets, rows left out, and missing values of each feature, as shares of all rows."""
    missing = np.isnan(rows.model_input)
    bad, level = _share(~targets.usable), limits.level("max_bad_targets")
    checks = [at_most("max_bad_targets", bad, limits.max_bad_targets, "share of bad targets:", level)]
    checks += _check_left_out(rows, limits)
    for i, name in enumerate(rows.contract.columns):
        own = limits.of_feature(name)
        found, limit, level = _share(missing[:, i]), own.limit("max_missing"), own.level("max_missing")
        checks.append(at_most(f"max_missing({name})", found, limit, "share of rows without it:", level, name))
    return checks


def _check_left_out(rows: TrainingRows, limits: DataChecks) -> list[Check]:
    level, what = limits.level("max_left_out"), "share of rows left out:"
    checks = [at_most("max_left_out", _share(rows.reason != Status.PRESENT), limits.max_left_out, what, level)]
    for kind, reason in REASONS.items():
        limit = limits.left_out_limit(reason)
        if limit is not None:
            what = f"share of rows left out as {reason}:"
            checks.append(at_most(f"max_left_out({reason})", _share(rows.reason == kind), limit, what, level))
    return checks


def check_classes(
    values: NDArray[np.generic], at_least_rows: int, part: str, on_failure: Level = "fail"
) -> list[Check]:
    """At least two classes, without which nothing can be learned, each with enough rows."""
    counts = class_counts(values)
    checks = [at_least("classes", len(counts), 2, f"classes in the {part}:")]
    return checks + [
        at_least(f"min_rows_per_class({name})", count, at_least_rows, f"rows of it in the {part}:", on_failure)
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


def check_shift(
    name: str, before: NDArray[np.float64], after: NDArray[np.float64], limits: AppliedLimits
) -> list[Check]:
    """Does one column of the test rows look like that of the training rows?"""
    found: tuple[tuple[FeatureCheck, float, str], ...] = (
        ("max_missing_shift", abs(missing_share(after) - missing_share(before)), "shift of the share missing:"),
        ("max_psi", population_stability(before, after), "stability index:"),
    )
    return [
        at_most(f"{check}({name})", figure, limits.limit(check), what, limits.level(check), name)
        for check, figure, what in found
    ]


def _check_skew(rows: TrainingRows, targets: Targets, usable: NDArray[np.bool_], params: Params) -> list[Check]:
    try:
        parts = split_columns(rows, targets, params)
    except PermanentError as error:
        return [Check("split", passed=False, says=error.what)]
    checks = [check_learned(rows.contract, rows.passed_as_nan(usable & ~parts.late))]
    for name in rows.contract.columns:
        checks += check_shift(name, *parts.of(name), params.data_checks.of_feature(name))
    return checks + check_shift(OUTCOME, *parts.of_outcome(), params.data_checks.of_outcome)


def _share(mask: NDArray[np.bool_]) -> float:
    return float(mask.mean()) if mask.size else 0.0
