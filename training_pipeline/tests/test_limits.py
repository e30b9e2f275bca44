"""Limits and levels of `data_checks`: in general, and of single features."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from pydantic import ValidationError

from training_pipeline.checks import Check, as_dicts, at_most, refuse_failed, warnings_of
from training_pipeline.data_checks import check_classes, check_data, check_shares
from training_pipeline.limits import DataChecks
from training_pipeline.params import Params
from training_pipeline.targets import read_targets
from training_pipeline.training_rows import TrainingRows
from twinserve.errors import PermanentError

Rows = Callable[..., TrainingRows]
SEASONAL = {
    "max_psi": 0.2,
    "features": {"share": {"max_psi": 50, "max_missing": 0.9}, "visits": {"on_failure": "warn"}},
    "on_failure": {"max_left_out": "warn", "max_missing": "warn"},
}


def season(joined: Rows) -> TrainingRows:
    """400 rows in which both features move with time, half of `share` is null, and three rows in ten are left out."""
    rng = np.random.default_rng(2)
    share: list[float | None] = (np.linspace(0, 5, 400) + rng.random(400)).tolist()
    visits = (np.linspace(0, 90, 400) + rng.integers(0, 9, 400)).astype(int).tolist()
    ages = [None if row % 10 < 3 else 0 for row in range(400)]
    return joined(share, visits, rng.integers(0, 2, 400).tolist(), age_minutes=ages)


def status(checks: list[Check]) -> dict[str, str]:
    return {check.name: check.status for check in checks}


def test_each_feature_has_limits_and_a_level_of_its_own(joined: Rows, params: Callable[..., Params]) -> None:
    chosen = params(data_checks=SEASONAL)
    rows = season(joined)

    found = status(check_data(rows, read_targets(rows.table["sold_out"], chosen), chosen))

    assert found["max_psi(share)"] == "ok"
    assert found["max_psi(visits)"] == "warn"
    assert "fail" not in found.values()
    strict = params(data_checks={"max_psi": 0.2})
    assert status(check_data(rows, read_targets(rows.table["sold_out"], strict), strict))["max_psi(share)"] == "fail"


def test_what_is_not_stated_for_a_feature_is_as_for_all() -> None:
    limits = DataChecks.model_validate(SEASONAL)
    share, visits, other = (limits.of_feature(name) for name in ("share", "visits", "other"))

    assert (share.limit("max_psi"), share.limit("max_missing"), share.limit("max_missing_shift")) == (50, 0.9, 0.1)
    assert (other.limit("max_psi"), other.level("max_psi"), other.level("max_missing")) == (0.2, "fail", "warn")
    assert (visits.level("max_psi"), visits.level("max_missing")) == ("warn", "warn")
    assert (limits.level("max_left_out"), limits.level("min_rows")) == ("warn", "fail")
    assert DataChecks(on_failure="warn").of_feature("a").level("max_psi") == "warn"


def test_the_outcome_has_its_own_and_is_no_feature() -> None:
    limits = DataChecks.model_validate({"outcome": {"max_psi": 2}, "features": {"outcome": {"max_psi": 3}}})

    assert limits.of_outcome.limit("max_psi") == 2
    assert limits.of_feature("outcome").limit("max_psi") == 3


def test_rows_left_out_have_limits_by_reason(joined: Rows, params: Callable[..., Params]) -> None:
    rows = season(joined)
    limits = DataChecks(max_left_out=0.5, max_left_out_by={"unknown": 0.1, "stale": 0.1})

    found = {c.name: c for c in check_shares(rows, read_targets(rows.table["sold_out"], params()), limits)}

    assert (found["max_left_out"].status, found["max_left_out(stale)"].status) == ("ok", "ok")
    assert found["max_left_out(unknown)"].says == "share of rows left out as unknown: 0.3, at most 0.1 allowed"
    assert found["max_left_out(unknown)"].status == "fail"


@pytest.mark.parametrize(
    "wrong",
    [
        {"features": {"share": {"max_ps": 1}}},
        {"features": {"share": {"on_failure": "ignore"}}},
        {"on_failure": {"max_pis": "warn"}},
        {"features": {"share": {"on_failure": {"min_rows": "warn"}}}},
        {"features": {"share": {"max_missing": 2}}},
        {"max_left_out_by": {"no_score": 0.1}},
        {"max_left_out_by": {"stale": 1.1}},
    ],
)
def test_a_name_or_number_that_means_nothing_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        DataChecks.model_validate(wrong)


def test_one_class_can_not_be_waved_through() -> None:
    assert status(check_classes(np.array([1] * 5), 20, "data", "warn")) == {
        "classes": "fail", "min_rows_per_class(1)": "warn",
    }  # fmt: skip


def test_a_warning_is_told_and_refuses_nothing() -> None:
    checks = [at_most("a", 2, 1, "x:", "warn", "col"), at_most("b", 1, 1, "y:")]

    refuse_failed(checks, "the data is", "Mend it")
    assert warnings_of(checks) == ["x: 2, at most 1 allowed (a)"]
    assert as_dicts(checks)[0] == {
        "name": "a", "passed": False, "says": "x: 2, at most 1 allowed", "on_failure": "warn", "column": "col",
        "status": "warn",
    }  # fmt: skip
    with pytest.raises(PermanentError, match=r"refused: z: 2, at most 1 allowed \(c\)\. Mend it"):
        refuse_failed([*checks, at_most("c", 2, 1, "z:")], "the data is", "Mend it")
