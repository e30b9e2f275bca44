from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.columns import map_columns
from data_pipeline.sources import load_sources
from twinserve.errors import BadInput, StepMissing

COLUMNS = {"shop", "rate", "count", "event_timestamp", "created"}
REPO = Path(__file__).parents[1] / "feature_repo"


def write(folder: Path, text: str) -> Path:
    (folder / "sources.yaml").write_text(text)
    return folder


def test_defaults(tmp_path: Path, pipeline: Any) -> None:
    rules = load_sources(write(tmp_path, "views: {visits: {table: v}}"), [pipeline.view])["visits"]
    assert (rules.table, rules.created, rules.checks.freshness, rules.checks.min_rows) == ("v", "created", None, 0)
    assert rules.lookback().total_seconds() == 3600


def test_the_example_is_valid(pipeline: Any) -> None:
    features = {"conv_rate": "FLOAT", "acc_rate": "FLOAT", "avg_daily_trips": "INT64"}
    rules = load_sources(REPO, [replace(pipeline.view, name="driver_stats", features=features)])
    assert rules["driver_stats"].rename == {"datetime": "event_timestamp"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("views: {visits: {tabel: v}}", "tabel"),
        ("views: {visits: {table: v, checks: {max_bad_fraction: 2}}}", "max_bad_fraction"),
        ("views: {visits: {table: v, checks: {freshness: {max_age_hours: 1, on_failure: shrug}}}}", "on_failure"),
        ("views: {visits: {table: v, checks: {columns: {rat: {min: 0}}}}}", "rat, not in the view"),
        ("views: {visits: {table: v, rename: {a: b}}}", "b, not in the view"),
        ("views: {}", "says nothing of the feature view visits"),
        ("views: [", "is no YAML"),
        ("", "sources.yaml"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, pipeline: Any, text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        load_sources(write(tmp_path, text), [pipeline.view])


@pytest.mark.parametrize(
    ("text", "line", "name", "meant"),
    [
        ("views:\n  visit:\n    table: v\n", 2, "visit", " (did you mean visits?)"),
        ("views:\n  visits: {table: v}\n  visitors: {table: v}\n", 3, "visitors", ""),
        ("views:\n  visits: {table: v}\n  prices:\n    table: v\n", 3, "prices", ""),
    ],
)
def test_a_view_that_no_definition_has_is_a_mistake(
    tmp_path: Path, pipeline: Any, text: str, line: int, name: str, meant: str
) -> None:
    with pytest.raises(BadInput) as refused:
        load_sources(write(tmp_path, text), [pipeline.view])
    said = f"sources.yaml, line {line}, column 3: views.{name}: no definition has a feature view of that name; "
    assert f"{said}there are visits. Correct the name{meant}, or take it out" in str(refused.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(StepMissing, match=r"sources\.yaml"):
        load_sources(tmp_path, [])


def test_columns_of_the_same_name(pipeline: Any, rules: Callable[..., Any]) -> None:
    found = map_columns(pipeline.view, rules(), COLUMNS, "t")
    assert found.source_of == {name: name for name in pipeline.view.columns}
    assert found.arrival == "created"


def test_a_rename_is_used_where_its_column_is_there(pipeline: Any, rules: Callable[..., Any]) -> None:
    chosen = rules(rename={"datetime": "event_timestamp"})
    with_old_name = (COLUMNS - {"event_timestamp"}) | {"datetime"}
    assert map_columns(pipeline.view, chosen, with_old_name, "t").source_of["event_timestamp"] == "datetime"
    assert map_columns(pipeline.view, chosen, COLUMNS, "t").source_of["event_timestamp"] == "event_timestamp"


def test_a_source_without_time_of_writing_takes_the_event_time(pipeline: Any, rules: Callable[..., Any]) -> None:
    found = map_columns(pipeline.view, rules(created=None), COLUMNS - {"created"}, "t")
    assert (found.source_of["created"], found.arrival) == ("event_timestamp", "event_timestamp")
    assert found.pulled == ["shop", "rate", "count", "event_timestamp"]


def test_a_view_without_time_of_writing(pipeline_in: Any, tmp_path: Path, rules: Callable[..., Any]) -> None:
    view = pipeline_in(tmp_path, created=None).view
    found = map_columns(view, rules(), COLUMNS - {"created"}, "t")
    assert found.arrival == "event_timestamp"
    assert "created" not in found.source_of


@pytest.mark.parametrize("missing", ["shop", "rate", "event_timestamp"])
def test_a_missing_column_is_named(pipeline: Any, rules: Callable[..., Any], missing: str) -> None:
    with pytest.raises(BadInput, match=f"table t has no column {missing} for the feature view visits; it has"):
        map_columns(pipeline.view, rules(created=None), COLUMNS - {missing}, "table t")


@pytest.mark.parametrize(
    ("changes", "absent", "named", "fix"),
    [
        (
            {"deleted": "removed_at"},
            "shop",
            "shop, removed_at (named by views.visits.deleted)",
            "Add it at the source, or a `rename` in sources.yaml. Correct `deleted` in sources.yaml",
        ),
        (
            {"deleted": "gone_ta"},
            None,
            "gone_ta (named by views.visits.deleted)",
            "Correct `deleted` in sources.yaml (did you mean gone_at?)",
        ),
        (
            {},
            "created",
            "created (named by views.visits.created)",
            "Name the right one as `created` in sources.yaml, "
            "or write null if the source does not tell when a row was written",
        ),
        (
            {"rename": {"ccnt": "rate"}},
            "rate",
            "rate (views.visits.rename reads it from ccnt: not there either)",
            "Correct `rename` in sources.yaml (did you mean cnt?)",
        ),
        (
            {"rename": {"whn": "event_timestamp"}, "created": None},
            "event_timestamp",
            "event_timestamp (views.visits.rename reads it from whn: not there either)",
            "Correct `rename` in sources.yaml",
        ),
    ],
)
def test_the_rule_that_asks_for_a_missing_column_is_named(
    pipeline: Any, rules: Callable[..., Any], changes: dict[str, Any], absent: str | None, named: str, fix: str
) -> None:
    pipeline.rules, there = rules(**changes), (COLUMNS | {"gone_at", "cnt"}) - {absent}
    with pytest.raises(BadInput) as refused:
        map_columns(pipeline.view, pipeline.rules, there, "t")
    has = ", ".join(sorted(there))
    assert str(refused.value) == f"t has no column {named} for the feature view visits; it has {has}. {fix}"


def test_a_wide_source_names_some_columns_and_counts_the_others(pipeline: Any, rules: Callable[..., Any]) -> None:
    there = (COLUMNS - {"rate"}) | {f"x{number:02}" for number in range(20)}
    with pytest.raises(BadInput, match=r"it has count, created, .*, x15 and 4 more\."):
        map_columns(pipeline.view, rules(), there, "t")


@pytest.mark.parametrize(
    ("deleted", "fed"), [("shop", "shop"), ("at", "event_timestamp"), ("created", "created"), ("rate", "rate")]
)
def test_the_mark_of_a_deletion_is_no_column_that_says_something_else(
    pipeline: Any, rules: Callable[..., Any], deleted: str, fed: str
) -> None:
    """`deleted: at` would mark every row, as a row always has a time."""
    pipeline.rules = rules(deleted=deleted, rename={"at": "event_timestamp"})
    with pytest.raises(BadInput, match=f"visits.deleted names {deleted}, from which {fed} is read"):
        map_columns(pipeline.view, pipeline.rules, COLUMNS | {"at"}, "t")


@pytest.mark.parametrize("text", ["{}", "{table: t, file: f.csv}"])
def test_a_view_has_a_table_or_a_file(tmp_path: Path, pipeline: Any, text: str) -> None:
    with pytest.raises(BadInput, match=r"visits.*give either `table` or `file`"):
        load_sources(write(tmp_path, f"views: {{visits: {text}}}"), [pipeline.view])


@pytest.mark.parametrize(
    ("text", "by_event", "hours"),
    [
        ("", False, 1),
        ("", True, 7 * 24),
        (", compare_days: 2", False, 48),
        (", compare_days: 0", True, 1),
        (", compare_days: 0.5, lookback_minutes: 6000", True, 100),
    ],
)
def test_how_far_back_rows_are_compared(tmp_path: Path, pipeline: Any, text: str, by_event: bool, hours: float) -> None:
    rules = load_sources(write(tmp_path, f"views: {{visits: {{table: t{text}}}}}"), [pipeline.view])["visits"]
    assert rules.lookback(by_event=by_event).total_seconds() == hours * 3600
