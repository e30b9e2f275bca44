"""A definition that changes over rows that are stored: read anew, refused by name, or the same values; never mixed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_pipeline.tests.conftest import Pipeline
from twinserve.errors import BadInput
from twinserve.features.feast_repo.views import ViewSpec

Frames = Callable[..., pd.DataFrame]
Files = Callable[..., Path]


class Redefined(Pipeline):
    """A pipeline whose view is changed by `redefine`."""

    change: dict[str, Any] = {}  # noqa: RUF012 - set for each instance

    def redefine(self, **change: Any) -> None:
        self.change = change

    @property
    def view(self) -> ViewSpec:
        return replace(super().view, **self.change)


@pytest.fixture
def home(tmp_path: Path) -> Redefined:
    return Redefined(tmp_path / "home")


def types_of(home: Redefined, column: str) -> set[pa.DataType]:
    return {pq.read_schema(file).field(column).type for file in home.view.path.rglob("*.parquet")}


def test_a_widened_feature_needs_every_stored_row_anew(home: Redefined, visits: Frames, source_file: Files) -> None:
    rows = visits(48).assign(rate=[0.1 + i / 1000 for i in range(48)])
    home.through(source_file(rows))
    before = home.store_bytes()
    home.redefine(features={"rate": "DOUBLE", "count": "INT64"})
    with pytest.raises(
        BadInput, match=r"declares rate as DOUBLE, .*day=2026-03-08.* holds it as float: .*ingest --run-key"
    ):
        home.through(source_file(rows[24:], "half.parquet"), "r2")
    assert home.store_bytes() == before, "nothing is mixed"
    outcome = home.through(source_file(rows, "all.parquet"), "r3")
    assert types_of(home, "rate") == {pa.float64()}
    assert home.stored().sort_values(["event_timestamp", "shop"])["rate"].tolist() == rows["rate"].tolist()
    assert outcome["ledger"]["replaced"] + outcome["ledger"]["stored_already"] == 48


def test_a_widened_feature_is_read_anew_whatever_the_rule(
    home: Redefined, visits: Frames, source_file: Files, rules: Any
) -> None:
    rows = visits(4).assign(rate=0.1)
    home.through(source_file(rows))
    home.redefine(features={"rate": "DOUBLE", "count": "INT64"})
    home.rules = rules(corrections="refuse")
    home.through(source_file(rows), "r2")
    assert home.stored()["rate"].tolist() == [0.1] * 4


@pytest.mark.parametrize(
    ("stored", "declared", "value", "column"),
    [("INT64", "INT32", 3_000_000_000, "count"), ("DOUBLE", "FLOAT", 1e300, "rate")],
)
def test_a_narrowed_type_is_refused_with_the_rows_that_do_not_fit(
    home: Redefined, visits: Frames, source_file: Files, rules: Any, stored: str, declared: str, value: Any, column: str
) -> None:
    home.rules = rules(checks={"columns": {}})
    features = {"rate": "FLOAT", "count": "INT64"}
    home.redefine(features=features | {column: stored})
    rows = visits(4).astype({column: "float64" if column == "rate" else "int64"})
    rows.loc[2, column] = value
    home.through(source_file(rows))
    before = home.store_bytes()
    home.redefine(features=features | {column: declared})
    with pytest.raises(BadInput, match=rf"{column} as {declared}, and 1 values .* do not fit: \(shop 1, .*{column} "):
        home.through(source_file(visits(8)[4:], "more.parquet"), "r2")
    assert home.store_bytes() == before


PUSHED = {"shop": pa.int64(), "rate": pa.float32(), "count": pa.int64()}


def push(home: Redefined, **columns: Any) -> None:
    """A file of one pushed row in the day of the first visits."""
    day = min(home.view.path.glob("day=*"))
    moment = pa.array([pd.Timestamp(day.name[4:], tz="UTC")], pa.timestamp("us", tz="UTC"))
    values = {name: pa.array([1], kind) for name, kind in PUSHED.items()}
    table = pa.table(values | dict.fromkeys(("event_timestamp", "created"), moment))
    for name, column in columns.items():
        table = table.set_column(table.schema.names.index(name), name, column)
    pq.write_table(table, day / "pushed-0.parquet")


@pytest.mark.parametrize(
    ("pushed", "change", "message"),
    [
        ({}, {"features": {"rate": "DOUBLE", "count": "INT64"}}, "rate as DOUBLE, .*pushed-0.* as float: .*pushed"),
        (
            {"count": pa.array([3_000_000_000])},
            {"features": {"rate": "FLOAT", "count": "INT32"}},
            r"count as INT32, and 1 values of .*pushed-0.* do not fit: \(shop 1, .*count 3000000000\)",
        ),
        ({}, {"join_keys": {"shop": "STRING"}}, "declares shop as STRING, .* as int64"),
    ],
    ids=["widened", "narrowed", "another key"],
)
def test_pushed_rows_are_held_against_a_changed_declaration_as_published_ones_are(
    home: Redefined, visits: Frames, source_file: Files, pushed: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    rows = visits(4)
    home.through(source_file(rows))
    push(home, **pushed)
    if "join_keys" in change:
        for file in home.view.path.rglob("part-0.parquet"):
            file.unlink()
    before = home.store_bytes()
    home.redefine(**change)
    with pytest.raises(BadInput, match=message):
        home.through(source_file(rows, "all.parquet"), "r2")
    assert home.store_bytes() == before


def test_pushed_rows_of_a_faithful_type_go_on(home: Redefined, visits: Frames, source_file: Files) -> None:
    home.through(source_file(visits(4)))
    push(home)
    home.redefine(features={"rate": "FLOAT", "count": "INT32"})
    assert home.through(source_file(visits(8)[4:], "more.parquet"), "r2")["rows_new"] == 4


def test_a_narrowed_type_whose_values_fit_goes_on(home: Redefined, visits: Frames, source_file: Files) -> None:
    home.through(source_file(visits(4)))
    home.redefine(features={"rate": "FLOAT", "count": "INT32"})
    assert home.through(source_file(visits(8)[4:], "more.parquet"), "r2")["rows_new"] == 4
    assert sorted(home.stored()["count"]) == list(range(8))
    assert types_of(home, "count") == {pa.int32()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"join_keys": {"shop": "STRING"}}, r"declares shop as STRING, .* holds it as int64"),
        (
            {"join_keys": {"shop": "INT64", "town": "INT64"}},
            "other keys or times than .* has: it lacks town",
        ),
        ({"timestamp": "at"}, "it lacks at"),
        ({"created": "made"}, "it lacks made"),
    ],
)
def test_another_key_or_time_is_refused_by_name(
    home: Redefined, visits: Frames, source_file: Files, rules: Any, change: dict[str, Any], message: str
) -> None:
    home.through(source_file(visits(4)))
    before = home.store_bytes()
    home.redefine(**change)
    home.rules = rules(created=change.get("created", "created"))
    rows = visits(8)[4:].assign(town=1)
    rows = rows.assign(at=rows["event_timestamp"], made=rows["created"])
    with pytest.raises(BadInput, match=message):
        home.through(source_file(rows, "more.parquet"), "r2")
    assert home.store_bytes() == before


def test_without_created_rows_that_it_told_apart_are_refused(
    home: Redefined, visits: Frames, source_file: Files
) -> None:
    rows = visits(2)
    later = rows.assign(created=rows["created"] + pd.Timedelta(hours=1), rate=0.9)
    home.through(source_file(pd.concat([rows, later])))
    home.redefine(created=None)
    with pytest.raises(BadInput, match=r"day=2026-03-08.* other keys or times than .* told apart by created"):
        home.through(source_file(visits(4)[2:], "more.parquet"), "r2")
    assert len(home.stored()) == 4


def test_a_column_that_is_declared_no_more_stays_through_every_rewrite(
    home: Redefined, visits: Frames, source_file: Files
) -> None:
    """A feature renamed: the values under its old name stay, for contracts that still ask for them."""
    home.through(source_file(visits(4)))
    home.redefine(features={"share": "FLOAT", "count": "INT64"})
    renamed = visits(8).rename(columns={"rate": "share"}).assign(count=[5, *range(1, 8)])
    outcome = home.through(source_file(renamed[2:], "more.parquet"), "r2")
    stored = home.stored().sort_values(["event_timestamp", "shop"])
    assert stored["rate"].notna().tolist() == [True] * 4 + [False] * 4
    assert stored["share"].notna().tolist() == [False] * 2 + [True] * 6
    assert outcome["rows_filled"] == 2
    assert any("rate" in warning and "share" in warning for warning in outcome["warnings"])
    # a correction keeps what it says nothing about
    home.now += pd.Timedelta(minutes=1)
    home.through(source_file(renamed[:1], "one.parquet"), "r3")
    first = home.stored().sort_values(["event_timestamp", "shop"]).iloc[0]
    assert (first["count"], first["rate"]) == (5, 0.0)


def test_an_added_feature_is_filled_by_a_new_read_whatever_the_rule(
    home: Redefined, visits: Frames, source_file: Files, rules: Any
) -> None:
    home.redefine(features={"rate": "FLOAT"})
    home.through(source_file(visits(4)))
    home.redefine()
    home.rules = rules(corrections="keep_first")
    outcome = home.through(source_file(visits(4)), "r2")
    assert (outcome["rows_filled"], outcome["corrections"]) == (4, 0)
    assert home.stored()["count"].tolist() == [0, 2, 1, 3]
