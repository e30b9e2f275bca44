"""The report of a run: bounded however wide the view is, and of whatever values the columns hold."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.validation.charts import MOST_CHARTS, charts
from data_pipeline.validation.first_to_look_at import change, first_to_look_at
from data_pipeline.validation.report import Findings, render
from data_pipeline.validation.verdicts import Verdict
from twinserve.features.feast_repo.views import ViewSpec
from twinserve.steps.ledger import Ledger

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
ROWS = 60
LEDGER = Ledger(ROWS, {"stored": ROWS})


class Page(HTMLParser):
    """What is on a page: pictures, rows of tables, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - it is called so
        self.tags[tag] += 1

    def handle_data(self, data: str) -> None:
        self.words += data.split()

    @property
    def text(self) -> str:
        return " ".join(self.words)


def wide(features: int, **columns: Any) -> tuple[ViewSpec, pa.Table]:
    """A view of so many numbers, and some rows of it."""
    rng = np.random.default_rng(0)
    names = [f"f{number}" for number in range(features)]
    hours = pa.array(1_772_000_000_000_000 + 3_600_000_000 * np.arange(ROWS), pa.timestamp("us", "UTC"))
    drawn = {name: rng.random(ROWS) for name in names} | columns
    table = pa.table({"shop": np.arange(ROWS), **drawn, "event_timestamp": hours})
    spec = ViewSpec("wide", {"shop": "INT64"}, dict.fromkeys(names, "DOUBLE"), Path("x"), "event_timestamp", None, None)
    return spec, table


def page(view: ViewSpec, table: pa.Table, reasons: dict[str, int] | None = None) -> Page:
    verdicts = [Verdict("volume", "ok", "enough")]
    found = Findings(
        "r", NOW, {"rows_in": ROWS}, reasons or {}, verdicts, [], [], table, [], LEDGER, [], table.slice(0, 0)
    )
    return Page(render(view, found))


def test_a_wide_view_has_a_few_charts_and_every_column_in_a_table_that_can_be_searched() -> None:
    found = page(*wide(300), {"f299: above 1": 7})
    assert found.tags["img"] == 1 + MOST_CHARTS  # and rows per day
    assert found.tags["input"] == 1
    assert f"{MOST_CHARTS} of 300 features, those to look at first" in found.text
    assert page(*wide(5)).tags["input"] == 0
    assert {f"f{number}" for number in range(300)} <= set(found.words)


def test_a_narrow_one_has_a_chart_of_each_feature() -> None:
    found = page(*wide(MOST_CHARTS))
    assert found.tags["img"] == 1 + MOST_CHARTS
    assert "to look at first" not in found.text


def test_set_aside_null_and_changed_features_come_first() -> None:
    nulls = pa.array([None] * 30 + [0.5] * 30, pa.float64())
    _, before = wide(100)
    view, table = wide(100, f70=nulls, f80=before["f80"].to_numpy() + 9.0)
    chosen = first_to_look_at(table, before, list(view.features), {"f90: above 1": 3, "f91: null": 1}, 5)
    assert chosen == ["f0", "f70", "f80", "f90", "f91"]
    assert first_to_look_at(table, before, list(view.features), {}, 1) == ["f70"]


def test_many_of_one_kind_do_not_crowd_out_the_others() -> None:
    half = {f"f{number}": pa.array([None] * 30 + [0.5] * 30, pa.float64()) for number in range(90)}
    _, before = wide(100, **half)
    view, table = wide(100, **half, f95=before["f95"].to_numpy() * 50)
    assert "f95" in first_to_look_at(table, before, list(view.features), {"f97: null": 1}, 6)
    assert "f97" in first_to_look_at(table, before, list(view.features), {"f97: null": 1}, 6)


NUMBERS = st.floats() | st.integers(-(2**53), 2**53).map(float) | st.none()


@given(st.lists(NUMBERS, max_size=20), st.lists(NUMBERS, max_size=20))
def test_a_change_is_a_finite_number(now: list[float | None], before: list[float | None]) -> None:
    columns = [pa.chunked_array([pa.array(values, pa.float64())]) for values in (now, before)]
    assert 0 <= change(*columns) < np.inf
    assert change(columns[0], columns[0]) in (0, 1)  # 1: no mean that could be compared


@pytest.mark.parametrize(
    "values",
    [
        [2**53, 2**53 + 2],  # neighbours
        [0.1, np.nextafter(0.1, 1)],
        [5e-324, 1e-323],
        [-1.7e308, 1.7e308],
        [np.inf, 1.0],
        [np.nan, np.inf, -np.inf],
        [None, None],
        [],
    ],
)
def test_a_distribution_can_be_drawn_of_any_numbers(values: list[Any]) -> None:
    kind = pa.int64() if values and isinstance(values[0], int) else pa.float64()
    times = pa.array([NOW] * max(len(values), 1), pa.timestamp("us", "UTC"))
    column = pa.array(values or [None], kind)
    drawn = charts(pa.table({"f": column, "t": times}), ["f"], "t")
    assert [chart.title for chart in drawn] == ["rows per day (UTC)", "f"]


@settings(max_examples=15, deadline=None)
@given(st.lists(NUMBERS, min_size=1, max_size=6))
def test_nor_does_any_other_value_end_the_report(values: list[float | None]) -> None:
    times = pa.array([NOW] * len(values), pa.timestamp("us", "UTC"))
    assert len(charts(pa.table({"f": pa.array(values, pa.float64()), "t": times}), ["f"], "t")) == 2
