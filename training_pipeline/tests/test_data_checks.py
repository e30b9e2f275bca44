from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from training_pipeline.checks import Check, named, refuse_failed
from training_pipeline.data_checks import check_classes, check_data, check_shares, check_shift
from training_pipeline.limits import DataChecks
from training_pipeline.params import Params
from training_pipeline.targets import read_targets
from training_pipeline.training_rows import TrainingRows, schema_problems
from twinserve.contract import Contract, MissingPolicy
from twinserve.errors import PermanentError

Rows = Callable[..., TrainingRows]


def failed(checks: list[Check]) -> set[str]:
    return {check.name for check in checks if not check.passed}


def test_good_rows_pass_every_check(joined: Rows, params: Callable[..., Params]) -> None:
    rng = np.random.default_rng(2)
    rows = joined(rng.random(400).tolist(), rng.integers(0, 9, 400).tolist(), rng.integers(0, 2, 400).tolist())

    assert failed(check_data(rows, read_targets(rows.table["sold_out"], params()), params())) == set()


def test_ten_rows_are_too_few_and_skew_is_not_judged(joined: Rows, params: Callable[..., Params]) -> None:
    rows = joined([0.5] * 10, [1] * 10, [0, 1] * 5)

    checks = check_data(rows, read_targets(rows.table["sold_out"], params()), params())

    assert failed(checks) == {"min_rows", "min_rows_per_class(0)", "min_rows_per_class(1)"}
    assert next(c.says for c in checks if c.name == "min_rows") == "usable rows: 10, at least 200 needed"
    assert not any("psi" in check.name for check in checks)


def test_a_feature_that_vanishes_in_the_end_is_seen(joined: Rows, params: Callable[..., Params]) -> None:
    rng = np.random.default_rng(2)
    share = [*rng.random(320), *[None] * 80]
    rows = joined(share, [1] * 400, rng.integers(0, 2, 400).tolist())

    assert "max_missing_shift(share)" in failed(
        check_data(rows, read_targets(rows.table["sold_out"], params()), params())
    )


def test_a_feature_and_an_outcome_that_move_are_seen() -> None:
    rng = np.random.default_rng(2)
    before = rng.random(500)

    assert failed(check_shift("share", before, before + 0.5, DataChecks().of_feature("share"))) == {"max_psi(share)"}
    assert failed(check_shift("outcome", np.zeros(500), np.ones(500), DataChecks().of_outcome)) == {"max_psi(outcome)"}
    assert failed(check_shift("share", before, rng.random(300), DataChecks().of_feature("share"))) == set()


def test_labels_of_one_moment_cannot_be_split(joined: Rows, params: Callable[..., Params]) -> None:
    rows = joined([0.5] * 400, [1] * 400, [0, 1] * 200, minutes=[0] * 400)

    assert "split" in failed(check_data(rows, read_targets(rows.table["sold_out"], params()), params()))


def test_shares_of_bad_and_missing(joined: Rows, params: Callable[..., Params]) -> None:
    rows = joined([0.1, None, 0.3, 0.4], [1, 2, 3, 4], [1, 0, None, 7], age_minutes=[0, 0, 61, None])

    targets = read_targets(rows.table["sold_out"], params())
    checks = {check.name: check.says for check in check_shares(rows, targets, DataChecks())}

    assert targets.usable.tolist() == [True, True, False, False]
    assert checks["max_bad_targets"] == "share of bad targets: 0.5, at most 0 allowed"
    assert checks["max_left_out"].startswith("share of rows left out: 0.75,")
    assert checks["max_missing(visits)"].startswith("share of rows without it: 0.5,")
    assert rows.missing_cells() == {"complete": 1, "null": 1, "stale": 1, "unknown": 1}
    assert rows.left_out() == {"null": 1, "stale": 1, "unknown": 1}


def test_one_class_only() -> None:
    assert failed(check_classes(np.array([1] * 50), 20, "data")) == {"classes"}


def test_targets_of_a_regression_keep_to_their_range(params: Callable[..., Params]) -> None:
    tons = params(
        labels={"target": "tons", "lowest": 0, "highest": 9, "classes": None},
        output={"method": "predict", "positive_class": None},
        model_checks={"metric": "rmse"},
    )

    found = read_targets(pa.chunked_array([[1.5, -1.0, None, float("nan"), float("inf"), 9.0]]), tons)

    assert found.usable.tolist() == [True, False, False, False, False, True]
    assert found.outcome[0] == 1.5


def test_classes_may_be_words(params: Callable[..., Params]) -> None:
    words = params(labels={"classes": ["yes", "no"]}, output={"positive_class": "yes"})

    found = read_targets(pa.chunked_array([["yes", "no", None, "maybe"]]), words)

    assert found.usable.tolist() == [True, True, False, False]
    assert found.outcome[:2].tolist() == [1, 0]


def test_schema_problems_name_column_and_types(joined: Rows, contract: Contract) -> None:
    table = joined([0.1], [1], [1]).table
    wrong = table.set_column(2, "share", pa.array([0.1], pa.float64())).drop_columns("visits")

    assert schema_problems(table.schema, contract) == []
    assert schema_problems(wrong.schema, contract) == ["column visits is missing", "column share is double, not float"]


def test_a_refusal_names_every_failed_check() -> None:
    checks = [
        Check("a", passed=False, says="1 of 2"),
        Check("b", passed=True, says="x"),
        Check("c", passed=False, says="3"),
    ]

    with pytest.raises(PermanentError, match=r"^the data is refused: 1 of 2 \(a\); 3 \(c\)\. Mend it$"):
        refuse_failed(checks, "the data is", "Mend it")


def passing(contract: Contract, **more: object) -> Contract:
    policy = {"stale": "pass_as_nan", "null": "pass_as_nan", **more}
    return contract.model_copy(update={"missing": MissingPolicy.model_validate(policy)})


def half_missing(joined: Rows, contract: Contract, training: bool) -> TrainingRows:
    """400 rows of which a few lack `share`: among the training rows, or among the test rows alone."""
    rng = np.random.default_rng(2)
    share: list[float | None] = rng.random(400).tolist()
    for row in (3, 7) if training else (390, 395):
        share[row] = None
    return joined(share, rng.integers(0, 9, 400).tolist(), rng.integers(0, 2, 400).tolist(), contract=contract)


def learned(rows: TrainingRows, params: Params) -> Check:
    checks = check_data(rows, read_targets(rows.table["sold_out"], params), params)
    return next(check for check in checks if check.name == "pass_as_nan")


def test_nan_is_passed_only_for_features_that_training_rows_lacked(
    joined: Rows, params: Callable[..., Params], contract: Contract
) -> None:
    check = learned(half_missing(joined, passing(contract), training=True), params())

    assert not check.passed
    assert "no training row lacks visits:" in check.says
    assert "`missing.unlearned`" in check.says


def test_what_test_rows_alone_lack_was_not_learned(
    joined: Rows, params: Callable[..., Params], contract: Contract
) -> None:
    check = learned(half_missing(joined, passing(contract), training=False), params())

    assert "no training row lacks share, visits:" in check.says


@pytest.mark.parametrize("unlearned", [("visits",), "all", ("share", "visits")])
def test_params_may_say_so_explicitly(
    joined: Rows, params: Callable[..., Params], contract: Contract, unlearned: object
) -> None:
    rows = half_missing(joined, passing(contract, unlearned=unlearned), training=True)

    assert learned(rows, params()).passed


def test_where_nothing_is_passed_nothing_need_be_learned(joined: Rows, params: Callable[..., Params]) -> None:
    rows = joined([0.5] * 400, [1, 2] * 200, [0, 1, 1, 0] * 100)

    assert learned(rows, params()).passed


def test_what_was_missing_in_training_is_counted_by_feature_and_kind(joined: Rows, contract: Contract) -> None:
    rows = joined([0.1, None, 0.3, 0.4], [1, 2, 3, 4], [1, 0, 1, 0], age_minutes=[0, 0, 61, 0],
                  contract=passing(contract))  # fmt: skip

    assert rows.passed_as_nan(np.array([True, True, True, False])) == {
        "share": {"stale": 1, "null": 1}, "visits": {"stale": 1},
    }  # fmt: skip


def test_a_refusal_of_many_features_stays_readable() -> None:
    checks = [Check(f"c{number}", passed=False, says="x") for number in range(1_500)]

    with pytest.raises(PermanentError, match=r"x \(c19\); and 1,480 more checks\. Mend it$"):
        refuse_failed(checks, "the data is", "Mend it")
    assert check_named(1_500) == "f0, f1, f2 and 1,497 more"


def check_named(count: int) -> str:
    return named([f"f{number}" for number in range(count)], 3)
