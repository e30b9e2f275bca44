"""What is stored under a definition that has changed: passed, or refused with file, column and rows."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_pipeline.clean import stored_schema
from data_pipeline.publishing.stored_columns import refuse_lost_columns, refuse_mixed, renamed
from twinserve.errors import BadInput
from twinserve.features.feast_repo.views import ViewSpec
from twinserve.features.stored_files.deleted_rows import DELETED

DAYS = [date(2026, 3, day) for day in (10, 11, 12)]
TIMES = pa.timestamp("us", tz="UTC")


@pytest.fixture
def view(tmp_path: Path) -> ViewSpec:
    """In a folder whose name looks like a column's value, which it is not."""
    return ViewSpec(
        name="visits",
        join_keys={"shop": "INT64", "item": "INT32"},
        features={"rate": "DOUBLE", "count": "INT32"},
        path=tmp_path / "count=7" / "visits",
        timestamp="at",
        created="made",
        ttl=None,
    )


def rows(numbers: list[int], day: date = DAYS[0], **columns: pa.Array) -> pa.Table:
    """Rows told apart by a number, in the types declared unless a column is given."""
    at = pa.array(
        [datetime(day.year, day.month, day.day, 1, tzinfo=UTC) + timedelta(seconds=n) for n in numbers], TIMES
    )
    usual = {
        "shop": pa.array([n % 2 for n in numbers], pa.int64()),
        "item": pa.array([n % 3 for n in numbers], pa.int32()),
        "rate": pa.array([n / 2 for n in numbers], pa.float64()),
        "count": pa.array(numbers, pa.int32()),
        "at": at,
        "made": at,
    }
    return pa.table(usual | columns)


def store(view: ViewSpec, table: pa.Table, day: date = DAYS[0], name: str = "part-0.parquet") -> Path:
    file = view.path / f"day={day}" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, file)
    return file


def floats(*values: float) -> pa.Array:
    return pa.array(values, pa.float32())


def test_what_says_the_same_passes(view: ViewSpec) -> None:
    refuse_lost_columns(view)
    store(view, rows([1]))
    store(view, rows([1], count=pa.array([5]), shop=pa.array([1], pa.int32()), note=pa.array(["x"])), DAYS[1])
    store(view, rows([1], at=pa.array([5], pa.timestamp("ns"))).drop_columns(["rate"]), DAYS[2])
    store(view, rows([1], count=pa.array([5])), DAYS[2], "pushed-0.parquet")
    refuse_lost_columns(view)
    # a run that reads these rows anew makes doubles of them
    store(view, rows([1], rate=floats(0.1)))
    refuse_lost_columns(view)


@pytest.mark.parametrize("name", ["part-0.parquet", "pushed-0.parquet"])
def test_a_file_without_keys_or_times_is_named(view: ViewSpec, name: str) -> None:
    store(view, rows([1]), name=name)
    file = store(view, rows([1]).drop_columns(["shop", "rate"]), DAYS[1], name)
    with pytest.raises(BadInput, match=rf"{re.escape(str(file))} was .* than feature view visits has: it lacks shop\."):
        refuse_lost_columns(view)
    store(view, rows([1]).drop_columns(["made", "at", "item"]), DAYS[1], name)
    with pytest.raises(BadInput, match=r"it lacks at, item, made\.") as refused:
        refuse_lost_columns(view)
    assert str(view.path) in str(refused.value.fix)
    assert "--view visits --full" in str(refused.value.fix)


@pytest.mark.parametrize("name", ["part-0.parquet", "pushed-0.parquet"])
@pytest.mark.parametrize("column", ["shop", "at"])
def test_a_key_or_time_of_another_type_is_named_with_both(view: ViewSpec, name: str, column: str) -> None:
    store(view, rows([1]), name=name)
    # the rate is of another type too, which alone would be read anew
    others = {column: pa.array(["1"])} | ({"rate": floats(0.5)} if name == "part-0.parquet" else {})
    file = store(view, rows([1], **others), DAYS[1], name)
    declared = {"shop": "INT64", "at": "UNIX_TIMESTAMP"}[column]
    with pytest.raises(BadInput, match=rf"visits declares {column} as {declared}, .*{re.escape(str(file))} .* string"):
        refuse_lost_columns(view)


def test_a_pushed_row_of_another_type_is_refused(view: ViewSpec) -> None:
    file = store(view, rows([1], rate=floats(0.5)), name="pushed-0.parquet")
    said = rf"visits declares rate as DOUBLE, {re.escape(str(file))} holds it as float: rows that were pushed"
    with pytest.raises(BadInput, match=said):
        refuse_lost_columns(view)


def test_marks_of_deleted_keys_need_a_source_that_has_them(view: ViewSpec) -> None:
    marked = rows([1], **{DELETED: pa.array([True])})
    file = store(view, marked)
    with pytest.raises(BadInput, match=rf"{re.escape(str(file))} has rows .* no `deleted` for visits"):
        refuse_lost_columns(view)
    refuse_lost_columns(replace(view, features={**view.features, DELETED: "BOOL"}))


@pytest.mark.parametrize("name", ["part-0.parquet", "pushed-0.parquet"])
@pytest.mark.parametrize(("unfit", "more"), [(1, ""), (5, ""), (6, ", …")])
def test_values_that_a_narrower_type_has_no_room_for_are_shown(
    view: ViewSpec, name: str, unfit: int, more: str
) -> None:
    store(view, rows([1]), name=name)
    numbers = list(range(2 * unfit))
    counts = [2**40 + n if n % 2 else n for n in numbers]
    widened = {"rate": floats(*numbers)} if name == "part-0.parquet" else {}
    file = store(view, rows(numbers, count=pa.array(counts), **widened), DAYS[1], name)
    shown = [f"(shop 1, item {n % 3}, at 2026-03-10 01:00:{n:02}+00:00, count {2**40 + n})" for n in numbers if n % 2]
    said = f"count as INT32, and {unfit} values of {file}, stored as int64, do not fit: {', '.join(shown[:5])}{more}"
    with pytest.raises(BadInput, match=rf"visits declares {re.escape(said)}\."):
        refuse_lost_columns(view)


def test_a_feature_that_was_renamed_is_guessed(view: ViewSpec) -> None:
    assert renamed(view) is None
    store(view, rows([1], old=pa.array([1]), older=pa.array([1])))
    assert renamed(view) is None, "it has all that is declared"
    store(view, rows([1]).drop_columns(["rate"]), DAYS[1])
    assert renamed(view) is None, "a feature was added, and nothing is strange there"
    marked = replace(view, features={**view.features, DELETED: "BOOL"})
    assert renamed(marked) is None
    store(view, rows([1], share=pa.array([0.5]), part=pa.array([1])).drop_columns(["rate"]), DAYS[1])
    store(view, rows([1], amount=pa.array([0.5])).drop_columns(["count"]), DAYS[2])
    for each in (view, marked):
        warning = renamed(each)
        assert warning is not None
        assert warning.startswith("2 stored days have no count, rate, ")
        assert "but amount, part, share, which visits does not declare" in warning
        assert "--view visits --full" in warning


def read_of(view: ViewSpec, numbers: list[int], day: date = DAYS[0]) -> dict[date, pa.Table]:
    return {day: rows(numbers, day).select(sorted(stored_schema(view).names))}


def test_a_type_that_says_more_needs_every_stored_row_anew(view: ViewSpec) -> None:
    chosen = random.Random(3)
    store(view, rows([1, 2], DAYS[0]))
    for _ in range(12):
        held, read = (chosen.sample(range(8), chosen.randint(1, 8)) for _ in range(2))
        stored = rows(held, DAYS[1], rate=floats(*held))
        stored = stored.set_column(0, "shop", stored["shop"].cast(pa.int32()))
        file = store(view, stored.append_column("note", pa.array(["x"] * len(held))), DAYS[1])
        missing = set(held) - set(read)
        if not missing:
            refuse_mixed(view, read_of(view, read, DAYS[1]))
            continue
        said = rf"visits declares rate as DOUBLE, {re.escape(str(file))} holds it as float: {len(missing)} of its rows"
        with pytest.raises(BadInput, match=said) as refused:
            refuse_mixed(view, read_of(view, read, DAYS[1]))
        assert str(file.parent) in str(refused.value.fix)
    with pytest.raises(BadInput, match=rf": {len(held)} of its rows"):
        refuse_mixed(view, read_of(view, held, DAYS[2]))
    file.unlink()
    refuse_mixed(view, {})
