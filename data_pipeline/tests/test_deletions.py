"""Rows that say of their key that it was deleted: a column of the source, in every form that sources have."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from data_pipeline.publishing.offline_files import day_files
from twinserve.errors import BadInput
from twinserve.features.stored_files.deleted_rows import DELETED

Frames = Callable[..., pd.DataFrame]
Files = Callable[..., Path]
HOUR = timedelta(hours=1)


def with_deletion(rows: pd.DataFrame, column: str, alive: Any, gone: Any, **features: Any) -> pd.DataFrame:
    """The rows, and one more an hour later: shop 1 was deleted."""
    last = rows[rows["shop"] == 1].tail(1)
    moments = {name: last[name] + HOUR for name in ("event_timestamp", "created")}
    after = last.assign(**{**moments, "rate": 66.0, "count": -1, **features})
    together: pd.DataFrame = pd.concat(
        [rows.assign(**{column: alive}), after.assign(**{column: gone})], ignore_index=True
    )
    return together


def deleted(home: Any) -> list[int]:
    stored = home.stored()
    return (
        [] if DELETED not in stored else stored.loc[stored[DELETED].fillna(value=False).astype(bool), "shop"].tolist()
    )


FORMS: dict[str, tuple[Any, Any]] = {
    "boolean": (False, True),
    "text as Debezium writes it": ("false", "true"),
    "number": (0, 1),
    "null": (None, True),
    "moment of deletion": (pd.NaT, pd.Timestamp("2026-03-10", tz="UTC")),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_deletion_in_every_form_is_stored_without_the_features_beside_it(
    pipeline: Any, visits: Frames, source_file: Files, rules: Any, form: str
) -> None:
    pipeline.rules = rules(deleted="gone", checks={"columns": {"rate": {"min": 0, "max": 1, "nullable": False}}})
    outcome = pipeline.through(source_file(with_deletion(visits(), "gone", *FORMS[form])))
    assert deleted(pipeline) == [1]
    (row,) = pipeline.stored().dropna(subset=[DELETED]).to_dict("records")
    assert pd.isna(row["rate"])
    assert pd.isna(row["count"])
    assert outcome["ledger"]["stored"] == 49
    assert pipeline.quarantined() == []
    assert (
        f"{outcome['rows_marked_deleted']} rows say that their key was deleted" in Path(outcome["report"]).read_text()
    )


def test_a_file_without_a_deletion_has_no_column_for_it(
    pipeline: Any, visits: Frames, source_file: Files, rules: Any
) -> None:
    pipeline.rules = rules(deleted="gone")
    pipeline.through(source_file(with_deletion(visits(), "gone", alive=False, gone=True)))
    marked = [DELETED in pq.read_schema(file).names for file in day_files(pipeline.view).values()]
    assert marked == [False, True]


def test_a_moment_of_deletion_in_a_table_without_times(
    pipeline: Any, tmp_path: Path, visits: Frames, rules: Any
) -> None:
    url = f"sqlite:///{tmp_path / 'v.db'}"
    rows = with_deletion(visits(), "deleted_at", None, "2026-03-10 12:00:00")
    rows.to_sql("visits", sa.create_engine(url), index=False)
    pipeline.rules = rules(deleted="deleted_at")
    pipeline.through(url)
    assert deleted(pipeline) == [1]


def test_a_deletion_in_place_and_back_again(pipeline: Any, visits: Frames, source_file: Files, rules: Any) -> None:
    """A soft delete marks the row that is there; another marks it no more."""
    pipeline.rules = rules(deleted="gone")
    rows = visits(4).assign(gone=False)
    pipeline.through(source_file(rows))
    for key, gone in (("r2", True), ("r3", False)):
        pipeline.now += timedelta(minutes=1)
        outcome = pipeline.through(source_file(rows.assign(gone=[gone, False, False, False])), key)
        assert outcome["ledger"]["replaced"] == 1
        assert deleted(pipeline) == ([1] if gone else [])
    assert pipeline.stored()["rate"].tolist() == rows.sort_values(["shop", "event_timestamp"])["rate"].tolist()


def test_a_deletion_in_a_list_of_corrections_is_told_in_words(
    pipeline: Any, visits: Frames, source_file: Files, rules: Any
) -> None:
    pipeline.rules, rows = rules(deleted="gone"), visits(2).assign(gone=False, rate=[0.25, 0.5])
    pipeline.through_without_report(source_file(rows), "r1")
    pipeline.now += timedelta(minutes=1)
    pipeline.through_without_report(source_file(rows.assign(gone=[True, False], rate=[0.25, 0.75])), "r2")
    marked, corrected = pipeline.corrected()
    assert json.loads(marked["before"]) == {"rate": 0.25, "count": 0}
    assert json.loads(marked["after"]) == {"rate": None, "count": None, "key deleted": True}
    assert json.loads(corrected["before"]) == {"rate": 0.5, "count": 1}
    assert json.loads(corrected["after"]) == {"rate": 0.75, "count": 1}


@pytest.mark.parametrize(("after", "said"), [(timedelta(), False), (HOUR, True)])
def test_a_soft_delete_that_leaves_the_event_time_where_it_was_is_said(
    pipeline: Any, visits: Frames, source_file: Files, rules: Any, after: timedelta, said: bool
) -> None:
    pipeline.rules, rows = rules(deleted="deleted_at"), visits(4)
    when = (rows["event_timestamp"] + after).where(rows["shop"] == 1)
    warnings = " ".join(pipeline.through(source_file(rows.assign(deleted_at=when)))["warnings"])
    assert ("2 rows were deleted at the source later than their event time" in warnings) == said
    assert deleted(pipeline) == [1, 1]


RULES = {"latest_read": ("replaced", [1, 2]), "keep_first": ("keep_first", [2]), "refuse": ("refused", [2])}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("marked_day", [False, True])
def test_a_deletion_in_place_is_a_correction_whatever_else_the_day_holds(
    pipeline: Any, visits: Frames, source_file: Files, rules: Any, rule: str, marked_day: bool
) -> None:
    """Of a row without a value for any feature, the mark is all that changes."""
    pipeline.rules = rules(deleted="gone", corrections=rule)
    rows = visits(4).assign(rate=None, count=None).astype({"rate": "Float32", "count": "Int64"})
    pipeline.through_without_report(source_file(rows.assign(gone=[False, marked_day, False, False])), "r1")
    pipeline.now += timedelta(minutes=1)
    pipeline.ingest(source_file(rows.assign(gone=[True, marked_day, False, False])), "r2")
    pipeline.clean("r2")
    ledger = pipeline.validate_without_report("r2")[1].to_dict()
    counted, marked = RULES[rule]
    assert {**ledger, **ledger["ignored"]}[counted] == 1
    assert deleted(pipeline) == [shop for shop in marked if marked_day or shop == 1]


def test_what_is_no_truth_is_set_aside(pipeline: Any, visits: Frames, source_file: Files, rules: Any) -> None:
    pipeline.rules = rules(deleted="gone")
    pipeline.through(source_file(visits(4).assign(gone=pd.array(["false", "perhaps", None, "true"], "string"))))
    (row,) = pipeline.quarantined()
    assert row["reasons"] == ["gone: no boolean, and no time"]
    assert deleted(pipeline) == [2]


def test_a_source_without_the_column_is_refused(pipeline: Any, visits: Frames, source_file: Files, rules: Any) -> None:
    pipeline.rules = rules(deleted="gone")
    with pytest.raises(BadInput, match="has no column gone"):
        pipeline.through(source_file(visits(4)))


def test_deletions_that_are_declared_no_more_are_not_forgotten(
    pipeline: Any, visits: Frames, source_file: Files, rules: Any
) -> None:
    pipeline.rules = rules(deleted="gone")
    rows = with_deletion(visits(4), "gone", alive=False, gone=True)
    pipeline.through(source_file(rows))
    pipeline.rules = rules()
    with pytest.raises(BadInput, match="yaml no `deleted`"):
        pipeline.through(source_file(rows), "r2")
    assert deleted(pipeline) == [1]


def test_declared_later_the_source_is_read_again(pipeline: Any, visits: Frames, source_file: Files, rules: Any) -> None:
    file = source_file(with_deletion(visits(4), "gone", False, True, rate=0.5))
    pipeline.through(file)
    assert deleted(pipeline) == []
    pipeline.rules = rules(deleted="gone")
    pipeline.now += timedelta(minutes=1)
    pipeline.through(file, "r2")
    assert deleted(pipeline) == [1]
