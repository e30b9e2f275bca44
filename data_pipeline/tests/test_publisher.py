"""The rows of one read, brought to the files of several days: planned, published, told of, and all of it again."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_pipeline.clean import stored_schema
from data_pipeline.publishing.changes import Changed, Changes
from data_pipeline.publishing.corrections import Correction, CorrectionLog
from data_pipeline.publishing.offline_files import day_file, day_files, identity, write_day
from data_pipeline.publishing.publish import Plan, Publisher
from data_pipeline.publishing.read_times import ReadTimes, marks
from data_pipeline.publishing.whole_reads import WholeReads
from data_pipeline.sources import Rule
from twinserve.errors import BadInput
from twinserve.features.feast_repo.views import ViewSpec
from twinserve.values.times import as_micros

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
READ_AT = NOON + timedelta(days=9)
DAYS = [date(2026, 3, 10 + n) for n in range(4)]
Rows = dict[tuple[int, int], float | None]  # shop, day → rate


@pytest.fixture
def view(tmp_path: Path) -> ViewSpec:
    features = {"rate": "DOUBLE", "count": "INT64"}
    return ViewSpec("visits", {"shop": "INT64"}, features, tmp_path / "visits", "at", None, None)


def table(view: ViewSpec, held: Rows, count: int | None = 1) -> pa.Table:
    found = [
        {"shop": shop, "at": NOON + timedelta(days=day), "rate": rate, "count": count}
        for (shop, day), rate in held.items()
    ]
    return pa.Table.from_pylist(found, stored_schema(view))


def store(view: ViewSpec, held: Rows, *, without: Iterable[str] = ()) -> None:
    for number, day in enumerate(DAYS):
        rows = table(view, {key: held[key] for key in sorted(held) if key[1] == number})
        if rows.num_rows:
            write_day(view, day, rows.drop_columns(list(without)))


def stored(view: ViewSpec) -> Rows:
    found: Rows = {}
    for day, file in day_files(view).items():
        for row in pq.read_table(file, partitioning=None).to_pylist():
            found[row["shop"], DAYS.index(day)] = row["rate"]
    return found


def publisher(view: ViewSpec, rule: Rule = "latest_read", read_at: datetime = READ_AT, name: str = "r1") -> Publisher:
    root = view.path.parent
    log, times = CorrectionLog(root / "corrections"), ReadTimes(root / "times")
    return Publisher(view, rule, read_at, log, times, Changes(root / f"{name}.json"), name)


def read_times(view: ViewSpec, keys: Iterable[tuple[int, int]]) -> list[int]:
    times = publisher(view).times
    return [int(times.of(DAYS[day], marks(table(view, {(shop, day): None}), identity(view)))[0]) for shop, day in keys]


def went(plan: Plan) -> list[int]:
    return [*plan.went.values(), *plan.ignored.values()]


HELD: Rows = {(1, 0): 0.1, (2, 0): 0.2, (1, 1): 0.3, (2, 1): 0.4, (1, 2): 0.5}
READ: Rows = {(1, 0): 0.1, (2, 0): 0.9, (3, 0): 0.7, (1, 1): 0.3, (2, 1): 0.4, (1, 3): 0.8, (2, 3): None}


@pytest.mark.parametrize(
    ("rule", "planned", "replaced"),
    [
        ("latest_read", [3, 3, 1, 0, 0, 0], 1),
        ("keep_first", [3, 3, 0, 1, 0, 0], 0),
        ("refuse", [3, 3, 0, 0, 0, 1], 0),
    ],
)
def test_days_new_changed_and_as_they_were(view: ViewSpec, rule: Rule, planned: list[int], replaced: int) -> None:
    store(view, HELD)
    unchanged = [day_file(view, day).stat().st_ino for day in DAYS[1:3]]
    asked, read = publisher(view, rule), table(view, READ)

    plan = asked.plan(read)
    assert list(plan.went) == ["stored", "stored_already", "replaced"]
    assert list(plan.ignored) == ["keep_first", "older_read", "refused"]
    assert went(plan) == planned
    decision = {"latest_read": "replaced", "keep_first": "keep_first", "refuse": "refused"}[rule]
    assert [(found.before, found.decision) for found in plan.found] == [('{"rate": 0.2, "count": 1}', decision)]
    assert (stored(view), asked.times.folder.exists()) == (HELD, False), "a plan writes nothing"

    counts = asked.publish(read, asked.listed([], plan))
    assert counts.to_dict() == {
        "rows_new": 3,
        "rows_already_stored": 3,
        "corrections": 1,
        "rows_filled": 0,
        "rows_older": 0,
        "days_written": 2,
        "days_unchanged": 1,
    }
    assert stored(view) == HELD | READ | ({} if replaced else {(2, 0): 0.2})
    assert [day_file(view, day).stat().st_ino for day in DAYS[1:3]] == unchanged
    assert [asked.changes.of(day) for day in DAYS] == [Changed(1, replaced), Changed(), Changed(), Changed(2, 0)]
    assert asked.log.listed("r1") == plan.found
    assert set(read_times(view, READ)) == {as_micros(READ_AT)}
    assert read_times(view, [(1, 2)]) != [as_micros(READ_AT)], "it was not read"

    again = asked.plan(read)
    assert went(again) == planned, "over all tries it has come to the same"
    assert asked.publish(read, asked.listed([], again)).days_written == 0
    assert [asked.changes.of(day) for day in DAYS] == [Changed(1, replaced), Changed(), Changed(), Changed(2, 0)]
    other = publisher(view, rule, name="r2").plan(read)
    assert went(other) == [0, 7 - (not replaced), 0, *planned[3:]], "for another run all of it was there"


def test_what_was_read_later_stays(view: ViewSpec) -> None:
    store(view, HELD)
    later = publisher(view, read_at=READ_AT + timedelta(microseconds=1), name="later")
    later.publish(table(view, {(1, 0): 0.6, (1, 1): 0.6}), [])
    asked, read = publisher(view), table(view, {(1, 0): 0.7, (2, 0): 0.8, (1, 1): 0.7})
    plan = asked.plan(read)
    assert went(plan) == [0, 0, 1, 0, 2, 0]
    counts = asked.publish(read, plan.found)
    assert (counts.rows_older, counts.corrections) == (2, 1)
    assert stored(view) == HELD | {(1, 0): 0.6, (2, 0): 0.8, (1, 1): 0.6}
    assert read_times(view, [(1, 0), (2, 0)]) == [as_micros(READ_AT) + 1, as_micros(READ_AT)]
    # at the very moment of the stored one: of two such reads the one that is published last counts
    asked.publish(table(view, {(2, 0): 0.9}), [])
    assert stored(view)[2, 0] == 0.9


def test_what_a_later_whole_read_of_the_source_lacked_is_left_out(view: ViewSpec) -> None:
    store(view, HELD)
    asked, read = publisher(view), table(view, READ)
    there = marks(table(view, {(1, 0): None}), ["shop"])
    WholeReads(asked.times.folder).note("keys", there, READ_AT + timedelta(microseconds=1))
    plan = asked.plan(read)
    assert went(plan) == [1, 2, 0, 0, 4, 0]
    counts = asked.publish(read, plan.found)
    assert (counts.rows_new, counts.rows_older, counts.days_written, counts.days_unchanged) == (1, 4, 1, 2)
    assert stored(view) == HELD | {(1, 3): 0.8}
    assert set(read_times(view, [(1, 0), (1, 1), (1, 3)])) == {as_micros(READ_AT)}
    assert as_micros(READ_AT) not in read_times(view, [(2, 0), (2, 1), (2, 3), (3, 0)])


def test_a_feature_that_was_added_is_filled(view: ViewSpec) -> None:
    store(view, HELD, without=["count"])
    asked, read = publisher(view, "keep_first"), table(view, HELD)
    plan = asked.plan(read)
    assert went(plan) == [0, 0, 5, 0, 0, 0]
    assert {found.decision for found in plan.found} == {"filled"}
    counts = asked.publish(read, plan.found)
    assert (counts.rows_filled, counts.corrections, counts.days_written) == (5, 0, 3)
    assert [asked.changes.of(day) for day in DAYS[:3]] == [Changed(0, 2), Changed(0, 2), Changed(0, 1)]


def test_a_feature_that_was_added_and_is_null_at_the_source_gets_its_column(view: ViewSpec) -> None:
    store(view, HELD, without=["count"])
    asked, read = publisher(view), table(view, HELD, None)
    assert went(asked.plan(read)) == [0, 5, 0, 0, 0, 0]
    assert asked.publish(read, []).days_written == 3, "else no stored file had it, and materialize refused"
    assert all("count" in pq.read_schema(file).names for file in day_files(view).values())
    assert asked.publish(read, []).days_unchanged == 3


def test_a_null_of_an_added_feature_is_not_written_for_rows_that_were_not_read(view: ViewSpec) -> None:
    store(view, HELD, without=["count"])
    part = table(view, {(1, 0): 0.1}, None)
    assert publisher(view, "keep_first").publish(part, []).days_unchanged == 1
    assert went(publisher(view, "keep_first", name="r2").plan(table(view, HELD)))[2] == 5, "all are still to be filled"


def test_the_corrections_of_all_tries_are_listed_in_order(view: ViewSpec) -> None:
    asked = publisher(view)
    first, second, third = (Correction(f"row {n}", "a", "b", "replaced") for n in range(3))
    asked.log.record([third], "r1")
    assert asked.listed([second, first], Plan({}, {}, [second])) == [first, second, third]


@pytest.mark.parametrize(
    ("noted", "planned"),
    [((1, 1), [1, 1, 1]), ((3, 0), [3, 0, 0]), ((0, 3), [0, 0, 3]), ((2, 4), [2, 0, 1]), ((5, 5), [3, 0, 0])],
)
def test_rows_of_an_earlier_try_are_told_as_what_they_were(
    view: ViewSpec, noted: tuple[int, int], planned: list[int]
) -> None:
    """As far as they are still there: another run may have deleted some."""
    held: Rows = {(shop, 0): 0.1 for shop in range(3)}
    store(view, held)
    asked = publisher(view)
    asked.changes.note(DAYS[0], *noted)
    assert list(asked.plan(table(view, held)).went.values()) == planned


def test_rows_of_two_types_are_refused_before_anything_is_written(view: ViewSpec) -> None:
    file = day_file(view, DAYS[0])
    file.parent.mkdir(parents=True)
    narrow = table(view, {(1, 0): 0.1, (2, 0): 0.2}).set_column(1, "rate", pa.array([0.1, 0.2], pa.float32()))
    pq.write_table(narrow, file)
    with pytest.raises(BadInput, match="declares rate as DOUBLE"):
        publisher(view).plan(table(view, {(1, 0): 0.1}))
    both: Any = publisher(view).plan(table(view, {(1, 0): 0.1, (2, 0): 0.2}))
    assert went(both) == [0, 0, 2, 0, 0, 0]
