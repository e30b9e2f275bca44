from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training_pipeline.params import Params
from training_pipeline.prepared_rows import PreparedRows, digest, read_prepared, usable_rows, write_prepared
from training_pipeline.targets import read_targets
from training_pipeline.training_rows import TrainingRows


def test_rows_that_cannot_be_scored_or_learned_from_are_left_out(
    joined: Callable[..., TrainingRows], params: Callable[..., Params]
) -> None:
    rows = joined([0.1, None, 0.3, 0.4, 0.5], [1, 2, 3, 4, 5], [1, 0, 1, None, 0], age_minutes=[0, 0, 61, 0, 60])

    prepared = usable_rows(rows, read_targets(rows.table["sold_out"], params()))

    assert prepared.features[:, 1].tolist() == [1, 5]
    assert prepared.target.tolist() == [1, 0]


def test_a_stale_value_that_passes_is_a_nan(joined: Callable[..., TrainingRows], params: Callable[..., Params]) -> None:
    lenient = params(missing={"stale": "pass_as_nan"})
    rows = joined([0.1, 0.2], [1, 2], [1, 0], age_minutes=[0, 61])
    rows = TrainingRows(rows.table, rows.contract.model_copy(update={"missing": lenient.missing}))

    prepared = usable_rows(rows, read_targets(rows.table["sold_out"], lenient))

    assert prepared.features[0].tolist() == [pytest.approx(0.1), 1]
    assert np.isnan(prepared.features[1]).all()


def test_rows_are_ordered_by_time_and_keep_their_order_within_it(
    joined: Callable[..., TrainingRows], params: Callable[..., Params]
) -> None:
    rows = joined([0.1, 0.2, 0.3, 0.4], [1, 2, 3, 4], [1, 1, 0, 0], minutes=[9, 3, 9, 3])

    prepared = usable_rows(rows, read_targets(rows.table["sold_out"], params()))

    assert prepared.features[:, 1].tolist() == [2, 4, 1, 3]


@pytest.fixture
def part() -> PreparedRows:
    return PreparedRows(["a", "b"], np.array([[1.0, np.nan], [0.1, -0.0]]), np.array(["x", "y"]), np.array([5, 6]))


def test_a_part_comes_back_as_it_was(tmp_path: Path, part: PreparedRows) -> None:
    write_prepared(tmp_path / "part.parquet", part)

    back = read_prepared(tmp_path / "part.parquet", ["a", "b"])

    assert digest(back) == digest(part)
    assert back.target.tolist() == ["x", "y"]
    np.testing.assert_array_equal(back.features, part.features)


@pytest.mark.parametrize(
    "change",
    [
        {"columns": ["a", "c"]},
        {"features": np.array([[1.0, np.nan], [0.1, 1e-300]])},
        {"target": np.array(["x", "z"])},
        {"times": np.array([5, 7])},
    ],
)
def test_any_change_changes_the_digest(part: PreparedRows, change: dict[str, Any]) -> None:
    assert digest(replace(part, **change)) != digest(part)


def test_the_digest_tells_parts_apart(part: PreparedRows) -> None:
    first, second = part.part(np.array([True, False])), part.part(np.array([False, True]))

    assert digest(first, second) != digest(second, first)
    assert len(digest(part)) <= 36, "MLflow takes no more"
