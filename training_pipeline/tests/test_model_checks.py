from __future__ import annotations

from typing import Any

import pytest

from training_pipeline.checks import Check
from training_pipeline.model_checks import Comparison, check_model
from training_pipeline.params import ModelChecks


def failed(checks: list[Check]) -> dict[str, str]:
    return {check.name: check.says for check in checks if not check.passed}


def limits(**changes: Any) -> ModelChecks:
    return ModelChecks.model_validate({"metric": "roc_auc", "limit": 0.6, "better_than_constant_by": 0.05} | changes)


def judge(auc: float | None, champion: Comparison | None = None, **changes: Any) -> dict[str, str]:
    return failed(check_model(limits(**changes), {"roc_auc": auc}, {"roc_auc": 0.5}, {"roc_auc": 0.68}, champion))


def test_a_good_candidate_passes() -> None:
    assert judge(0.7) == {}


def test_below_the_limit() -> None:
    assert judge(0.59) == {"limit": "roc_auc: 0.59, at least 0.6 needed"}


def test_hardly_better_than_a_constant() -> None:
    assert list(judge(0.53, limit=0.4)) == ["better_than_constant_by"]


def test_the_single_feature_counts_only_if_asked() -> None:
    assert list(judge(0.65, better_than_one_feature_by=0.0)) == ["better_than_one_feature_by"]
    assert judge(0.65) == {}


def test_worse_than_the_champion() -> None:
    compared = Comparison(candidate=0.7, champion=0.75)

    assert judge(0.7, compared, worse_than_champion_by=0.06) == {}
    assert judge(0.7, compared, worse_than_champion_by=0.01) == {
        "worse_than_champion_by": "roc_auc 0.7 against 0.75 on the same rows, worse by 0.05, at most 0.01 allowed"
    }


def test_no_figure_is_a_refusal() -> None:
    assert "does not exist" in judge(None)["limit"]


@pytest.mark.parametrize(
    ("rmse", "fails"), [(1.0, []), (1.9, ["better_than_constant_by"]), (2.5, ["limit", "better_than_constant_by"])]
)
def test_an_error_is_better_where_it_is_lower(rmse: float, fails: list[str]) -> None:
    asked = limits(metric="rmse", limit=2.0, better_than_constant_by=0.5)

    found = failed(check_model(asked, {"rmse": rmse}, {"rmse": 2.2}, {"rmse": None}, None))

    assert list(found) == fails
