"""What a whole read of a source lacks of what is stored, and what deleting it leaves, against a model."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_pipeline.clean import stored_schema
from data_pipeline.publishing.changes import Changed, Changes
from data_pipeline.publishing.offline_files import day_files, identity, write_day
from data_pipeline.publishing.read_times import NEVER, ReadTimes, marks
from data_pipeline.publishing.source_deletions import Lacking, WholeRead
from data_pipeline.publishing.whole_reads import WholeReads, compared_columns
from data_pipeline.sources import Snapshot
from twinserve.errors import PermanentError
from twinserve.features.feast_repo.views import ViewSpec
from twinserve.features.stored_files.file_sizes import deletions_of

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
READ_AT = NOON + timedelta(days=9)
DAYS = [date(2026, 3, 10 + n) for n in range(4)]
Key = tuple[int, int]  # shop, hours after noon of the first day


def view_at(root: Path) -> ViewSpec:
    return ViewSpec("visits", {"shop": "INT64"}, {"rate": "DOUBLE"}, root / "visits", "at", "made", None)


def rows(view: ViewSpec, keys: Iterable[Key]) -> pa.Table:
    found = [
        {"shop": shop, "rate": 0.5, "at": NOON + timedelta(hours=hours), "made": NOON + timedelta(hours=hours)}
        for shop, hours in keys
    ]
    return pa.Table.from_pylist(found, stored_schema(view))


def keys_of(table: pa.Table) -> list[Key]:
    times = [(moment - NOON) // timedelta(hours=1) for moment in table["at"].to_pylist()]
    return list(zip(table["shop"].to_pylist(), times, strict=True))


def day_of(key: Key) -> date:
    return (NOON + timedelta(hours=key[1])).date()


class Store:
    """Stored rows, each of which was last read at some time, and what was read of the source."""

    def __init__(self, root: Path, held: dict[Key, datetime | None]) -> None:
        self.view, self.held = view_at(root), held
        self.times, self.changes = ReadTimes(root / "times"), Changes(root / "changes.json")
        self.listed = root / "deleted.parquet"
        for day in sorted(set(map(day_of, held))):
            of_day = rows(self.view, sorted(key for key in held if day_of(key) == day))
            write_day(self.view, day, of_day)
            for at in sorted({at for at in held.values() if at}):
                read = rows(self.view, [key for key, time in held.items() if time == at])
                self.times.note(day, marks(of_day, identity(self.view)), marks(read, identity(self.view)), at)

    def read(self, compared: Snapshot, present: Iterable[Key], unreadable: str | None = None) -> WholeRead:
        """One row more, of which the column named can't be read."""
        table = rows(self.view, present).select(identity(self.view))
        if unreadable:
            more = rows(self.view, [(9, 0)]).select(identity(self.view)).to_pylist()[0] | {unreadable: None}
            table = pa.concat_tables([table, pa.Table.from_pylist([more], table.schema)])
        return WholeRead(self.view, compared, table, READ_AT, self.times, self.changes, self.listed)

    def read_times(self, keys: Iterable[Key]) -> dict[Key, int]:
        found: dict[Key, int] = {}
        for day in DAYS:
            of_day = [key for key in keys if day_of(key) == day]
            times = self.times.of(day, marks(rows(self.view, of_day), identity(self.view)))
            found |= zip(of_day, times.tolist(), strict=True)
        return found

    def stored(self) -> list[Key]:
        return [
            key for file in day_files(self.view).values() for key in keys_of(pq.read_table(file, partitioning=None))
        ]


def lost(store: Store, compared: Snapshot, present: set[Key]) -> set[Key]:
    there: set[Any] = {shop for shop, _ in present} if compared == "keys" else present
    asked = {key: key[0] if compared == "keys" else key for key in store.held}
    later = {key for key, at in store.held.items() if at and at > READ_AT}
    return {key for key in store.held if asked[key] not in there and key not in later}


@pytest.mark.parametrize("compared", ["rows", "keys"])
@pytest.mark.parametrize("seed", range(2))
def test_what_the_source_lacks_is_counted_deleted_and_listed(tmp_path: Path, compared: Snapshot, seed: int) -> None:
    chosen = random.Random(seed)
    keys = [(shop, hours) for shop in range(1, 7) for hours in range(0, 84, 6)]
    keys = [key for key in keys if key[0] > 2 or day_of(key) != DAYS[1]]  # a day without the shops that go
    second = timedelta(seconds=1)
    times = [None, READ_AT - second, READ_AT, READ_AT + second]
    store = Store(tmp_path, {key: chosen.choice(times) for key in chosen.sample(keys, 50)})
    present = {key for key in keys if key[0] > 2 and (chosen.random() < 0.5 or day_of(key) == DAYS[1])}
    gone, held = lost(store, compared, present), sorted(store.held)
    files = {day: file.stat().st_ino for day, file in day_files(store.view).items()}
    known = store.read_times(held)

    read = store.read(compared, present)
    assert read.lacking() == Lacking(50, len(gone), 0)
    assert store.stored() == sorted(held, key=lambda key: (day_of(key), key))
    assert not store.listed.exists()

    assert read.delete() == len(gone) > 0
    assert store.stored() == sorted(set(held) - gone, key=lambda key: (day_of(key), key))
    listed = pq.read_table(store.listed)
    assert listed.column_names == ["shop", "at", "made"], "no features are kept"
    assert sorted(keys_of(listed)) == sorted(gone)
    for day, file in day_files(store.view).items():
        count = sum(day_of(key) == day for key in gone)
        assert store.changes.of(day) == Changed(0, 0, count)
        assert deletions_of(file) == (1 if count else 0)
        assert (file.stat().st_ino == files[day]) == (count == 0), "a day that has lost nothing is not written"
    assert store.read_times(held) == known | dict.fromkeys(gone, NEVER)

    assert read.lacking() == Lacking(50 - len(gone), 0, 0)
    assert read.delete() == 0
    assert sorted(keys_of(pq.read_table(store.listed))) == sorted(gone)


@pytest.mark.parametrize(
    ("compared", "unreadable", "unknown"),
    [("keys", "shop", 1), ("keys", "at", 0), ("rows", "shop", 1), ("rows", "at", 1), ("rows", "made", 1)],
)
def test_a_row_of_which_nobody_knows_whose_it_is_keeps_all(
    tmp_path: Path, compared: Snapshot, unreadable: str, unknown: int
) -> None:
    store = Store(tmp_path, {(shop, 0): None for shop in range(4)})
    assert store.read(compared, [(0, 0)], unreadable).lacking() == Lacking(4, 0 if unknown else 3, unknown)


def test_of_an_empty_store_nothing_is_lacking(tmp_path: Path) -> None:
    read = Store(tmp_path, {}).read("rows", [(1, 0)])
    assert read.lacking() == Lacking(0, 0, 0)
    assert read.lacking().fraction == 0.0
    assert read.delete() == 0
    assert Lacking(8, 2).fraction == 0.25


@pytest.mark.parametrize("compared", ["rows", "keys"])
def test_what_later_whole_reads_lacked_is_known_in_whatever_order_they_are_noted(
    tmp_path: Path, compared: Snapshot
) -> None:
    view, had = view_at(tmp_path), [{1, 2, 3}, {1, 3}, {2, 3}, {1, 2}]  # shops, by time of reading
    times = [READ_AT + timedelta(days=number) for number in range(4)]
    read = rows(view, [(shop, 0) for shop in range(1, 5)])
    for order in list(itertools.permutations(range(4)))[2::3]:  # the last among them: the latest first
        known = WholeReads(tmp_path / str(order))
        for number in [*order, order[0]]:
            there = rows(view, [(shop, 0) for shop in had[number]])
            known.note(compared, marks(there, compared_columns(view, compared)), times[number])
        for number, at in enumerate(times):
            lacked = [any(shop not in later for later in had[number + 1 :]) for shop in range(1, 5)]
            assert known.lacking_after(view, at)(read).tolist() == lacked
        known.forget(view, read.slice(0, 1))
        assert known.lacking_after(view, times[0])(read).tolist() == [True] * 4
        assert known.lacking_after(view, times[-1])(read).tolist() == [False] * 4


def test_a_damaged_file_of_whole_reads_is_named(tmp_path: Path) -> None:
    (tmp_path / "whole-keys.parquet").write_bytes(b"PAR1")
    with pytest.raises(PermanentError, match=r"whole-keys\.parquet is damaged"):
        WholeReads(tmp_path).lacking_after(view_at(tmp_path), READ_AT)


@pytest.mark.parametrize("compared", ["rows", "keys"])
def test_a_whole_read_is_noted_and_what_it_lacks_is_deleted(tmp_path: Path, compared: Snapshot) -> None:
    store = Store(tmp_path, {(shop, 0): None for shop in range(4)})
    known = WholeReads(store.times.folder)
    every, earlier = rows(store.view, sorted(store.held)), READ_AT - timedelta(microseconds=1)

    for read in (store.read(compared, []), store.read(compared, [(0, 0)], "shop")):
        assert read.take_effect(read.lacking()) == 0
        assert not known.lacking_after(store.view, earlier)(every).any()
    whole = store.read(compared, [(shop, 0) for shop in range(9)])
    assert whole.take_effect(whole.lacking()) == 0
    assert known.lacking_after(store.view, earlier)(rows(store.view, [(8, 0), (9, 0)])).tolist() == [False, True]
    assert store.stored() == sorted(store.held)

    less = store.read(compared, [(0, 0), (2, 0)])
    assert less.take_effect(less.lacking()) == 2
    assert store.stored() == [(0, 0), (2, 0)]
    assert known.lacking_after(store.view, earlier)(every).tolist() == [False, True, False, True]
    assert not known.lacking_after(store.view, READ_AT)(every).any()


def test_whole_reads_of_rows_and_keys_both_count(tmp_path: Path) -> None:
    """Each by what it compares; a read that is damaged is named whichever it is."""
    view, known = view_at(tmp_path), WholeReads(tmp_path / "count=7" / "times")
    asked = rows(view, [(1, 0), (1, 1), (2, 0), (3, 0)])
    assert not known.lacking_after(view, READ_AT)(asked).any()
    for compared, there in (("rows", [(1, 0), (2, 0)]), ("keys", [(1, 9), (3, 9)])):
        kind: Any = compared
        known.note(kind, marks(rows(view, there), compared_columns(view, kind)), READ_AT)
        assert (known.folder / f"whole-{compared}.parquet").is_file()
    earlier = READ_AT - timedelta(microseconds=1)
    assert known.lacking_after(view, earlier)(asked).tolist() == [False, True, True, True]
    assert known.lacking_after(view, earlier)(asked.slice(0, 0)).tolist() == []
    for compared, missing in (("rows", "mark"), ("keys", "lacked_at"), ("rows", None)):
        file = known.folder / f"whole-{compared}.parquet"
        held, found = file.read_bytes(), pq.read_table(file, partitioning=None)
        pq.write_table(found.drop_columns([missing]) if missing else found.replace_schema_metadata(None), file)
        with pytest.raises(PermanentError, match=f"whole-{compared}.parquet is damaged"):
            known.lacking_after(view, READ_AT)
        file.write_bytes(held)


def test_what_is_forgotten_is_as_good_as_lacking(tmp_path: Path) -> None:
    view, known = view_at(tmp_path), WholeReads(tmp_path)
    every = rows(view, [(shop, 0) for shop in range(4)])
    known.forget(view, every)
    assert list(tmp_path.iterdir()) == [], "of nothing nothing is forgotten"
    for kind in ("rows", "keys"):
        compared: Any = kind
        known.note(compared, marks(every, compared_columns(view, compared)), READ_AT)
    written = {file: file.stat().st_ino for file in tmp_path.iterdir()}
    known.forget(view, rows(view, [(9, 0)]))
    assert {file: file.stat().st_ino for file in tmp_path.iterdir()} == written
    known.forget(view, every.slice(1, 2))
    assert {pq.read_table(file, partitioning=None).num_rows for file in written} == {2}
    earlier = READ_AT - timedelta(seconds=1)
    assert known.lacking_after(view, earlier)(every).tolist() == [False, True, True, False]
    assert not known.lacking_after(view, READ_AT)(every).any()


def test_what_a_killed_try_has_listed_is_listed_once(tmp_path: Path) -> None:
    store = Store(tmp_path, {(shop, 0): None for shop in range(4)})
    listed = rows(store.view, [(3, 0), (7, 5)]).select(identity(store.view))
    pq.write_table(listed, store.listed)
    assert store.read("rows", [(0, 0), (1, 0)]).delete() == 2
    found = pq.read_table(store.listed)
    assert sorted(keys_of(found)) == [(2, 0), (3, 0), (7, 5)]
    assert found.schema.equals(listed.schema)
