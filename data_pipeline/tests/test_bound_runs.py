"""The steps of one run go by one definition of their view."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from data_pipeline.clean import LAST, clean
from data_pipeline.validate import explore_and_validate
from twinserve.errors import BadInput, StepMissing

CHANGES = [
    ({"features": {"rate": "DOUBLE", "count": "INT64"}}, r"features\.rate: FLOAT then, DOUBLE now"),
    ({"features": {"rate": "FLOAT"}}, r"features\.count: INT64 then, nothing now"),
    ({"features": {"rate": "FLOAT", "count": "INT64", "more": "INT64"}}, r"features\.more: nothing then, INT64 now"),
    ({"join_keys": {"shop": "STRING"}}, r"join_keys\.shop: INT64 then, STRING now"),
    ({"created": None}, r"created: created then, None now"),
]


@pytest.mark.parametrize(("change", "says"), CHANGES)
def test_a_definition_that_changes_between_the_steps_is_named(
    pipeline: Any,
    source_file: Callable[..., Path],
    visits: Callable[..., pd.DataFrame],
    change: dict[str, Any],
    says: str,
) -> None:
    source, run, other = source_file(visits()), pipeline.run("r1"), replace(pipeline.view, **change)
    pipeline.ingest(source)
    pipeline.clean()
    before = {file: file.read_bytes() for file in run.folder.rglob("*") if file.is_file()}
    with pytest.raises(
        BadInput, match=rf"run 'r1' was begun with another definition of visits\.{says}.*data-pipeline in"
    ):
        clean(run, other)
    with pytest.raises(BadInput, match=says):
        explore_and_validate(run, other, pipeline.rules, pipeline.places("r1"), pipeline.watermarks, pipeline.now)
    assert {file: file.read_bytes() for file in run.folder.rglob("*") if file.is_file()} == before
    assert pipeline.validate()["rows_new"] == 48, "set back, it goes on"


def test_a_run_of_an_earlier_release_goes_on(
    pipeline: Any, source_file: Callable[..., Path], visits: Callable[..., pd.DataFrame]
) -> None:
    pipeline.ingest(source_file(visits()))
    (pipeline.run("r1").folder / "view.json").unlink()
    pipeline.clean()
    assert pipeline.validate()["rows_new"] == 48


def test_rows_that_an_earlier_release_cleaned_are_cleaned_again(
    pipeline: Any, source_file: Callable[..., Path], visits: Callable[..., pd.DataFrame]
) -> None:
    pipeline.ingest(source_file(visits()))
    pipeline.clean()
    file = pipeline.run("r1").clean
    pq.write_table(pq.read_table(file).drop_columns([LAST]), file)
    with pytest.raises(StepMissing, match="earlier release") as refused:
        pipeline.validate()
    assert "data-pipeline clean --run-key r1" in str(refused.value)
    pipeline.clean()
    assert pipeline.validate()["rows_new"] == 48
