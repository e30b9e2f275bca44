"""The whole data path under random changes of its source, kills and repeats, held against a model of a few lines.

Each step is a real command in a process of its own, over SQLite, Parquet, Feast's registry and a real Redis. By default
the same few sequences each time, in about a minute; `make test-data-path MINUTES=60` tries new ones.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from data_path_world import BASE, GONE, LOOKBACK, Held, Identity, Row, Values, World
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from killable_steps import Steps
from redis_server import RedisServer

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("data_path")]
STEPS = ("ingest", "clean", "explore-and-validate")
RATES = st.sampled_from([None, 0.0, 0.25, 0.5, 0.75, 1.0])
COUNTS = st.integers(0, 5)
KILLS = st.none() | st.tuples(st.sampled_from([*STEPS, "materialize"]), st.integers(0, 12))
Kill = tuple[str, int] | None


def seen_values(rows: list[Row]) -> dict[Identity, set[Held]]:
    """Identity → the values that rows of this name have."""
    found: dict[Identity, set[Held]] = {}
    for row in rows:
        found.setdefault(row.identity, set()).add(row.values)
    return found


class DataPath(RuleBasedStateMachine):
    """What people do to a source, and what Airflow does about it."""

    folder: Path
    steps: Steps
    server: RedisServer
    worlds = 0

    def __init__(self) -> None:
        super().__init__()
        DataPath.worlds += 1
        self.world = World(self.folder / f"world{DataPath.worlds}", self.steps, self.server.client())
        self.mark: datetime | None = None
        self.counted: Counter[date] = Counter()
        self.stored: dict[Identity, Values] = {}
        self.renamed = False
        self.last_run = ""
        self.forgotten: set[int] = set()

    @initialize(snapshot=st.booleans())
    def the_source_is_declared(self, snapshot: bool) -> None:
        self.world.snapshot = snapshot
        self.world.define()

    @rule(shop=st.integers(1, 3), hour=st.integers(0, 71), rate=RATES, count=COUNTS)
    def a_row_comes(self, shop: int, hour: int, rate: float | None, count: int) -> None:
        self.world.add(Row(shop, BASE + timedelta(hours=hour), self.world.tick(), rate, count))

    @rule(shop=st.integers(1, 3), hour=st.integers(0, 71), rate=RATES, count=COUNTS, late=st.integers(1, 60))
    def a_row_comes_late(self, shop: int, hour: int, rate: float | None, count: int, late: int) -> None:
        created = self.world.tick() - timedelta(minutes=10 * late)
        self.world.add(Row(shop, BASE + timedelta(hours=hour), created, rate, count))

    @precondition(lambda self: self.world.rows)
    @rule(data=st.data(), rate=RATES, count=COUNTS, moves=st.booleans(), read=st.booleans())
    def a_row_is_corrected(self, data: Any, rate: float | None, count: int, moves: bool, read: bool) -> None:
        """And perhaps read before anything else happens: with other rows, a day is written anyway."""
        number = data.draw(st.sampled_from(sorted(self.world.rows)))
        created = self.world.tick() if moves else self.world.rows[number].created
        self.world.change(number, rate=rate, count=count, created=created)
        if read:
            self.the_source_is_read(full=False, kill=None)

    @precondition(lambda self: self.world.rows)
    @rule(data=st.data(), count=COUNTS)
    def a_row_comes_twice(self, data: Any, count: int) -> None:
        """The same, or another of the same name: those contradict each other."""
        row = self.world.rows[data.draw(st.sampled_from(sorted(self.world.rows)))]
        self.world.change(self.world.add(row), count=count)

    @rule(shop=st.integers(1, 3), hour=st.integers(0, 71))
    def a_shop_is_deleted(self, shop: int, hour: int) -> None:
        """By a row that says so."""
        self.world.add(Row(shop, BASE + timedelta(hours=hour), self.world.tick(), None, 0, gone=True))

    @precondition(lambda self: self.world.rows)
    @rule(data=st.data(), moves=st.booleans())
    def a_row_becomes_a_deletion_or_none_any_more(self, data: Any, moves: bool) -> None:
        number = data.draw(st.sampled_from(sorted(self.world.rows)))
        row = self.world.rows[number]
        self.world.change(number, gone=not row.gone, created=self.world.tick() if moves else row.created)

    @precondition(lambda self: self.last_run)
    @rule(shop=st.integers(1, 3))
    def a_shop_is_forgotten(self, shop: int) -> None:
        self.world.run("forget", f"shop={shop}", "--yes")
        self.forgotten.add(shop)
        self.stored = {row: values for row, values in self.stored.items() if row[0] != shop}
        self.last_run = ""  # it begins again
        self._held_online(shop)
        assert self.world.offline() == self.stored

    @precondition(lambda self: self.forgotten)
    @rule(data=st.data())
    def a_shop_is_allowed_again(self, data: Any) -> None:
        shop = data.draw(st.sampled_from(sorted(self.forgotten)))
        self.world.run("forget", f"shop={shop}", "--allow-again")
        self.forgotten.remove(shop)

    @precondition(lambda self: self.world.rows)
    @rule(data=st.data())
    def a_row_goes(self, data: Any) -> None:
        del self.world.rows[data.draw(st.sampled_from(sorted(self.world.rows)))]

    @precondition(lambda self: self.world.rows)
    @rule(full=st.booleans(), kill=KILLS)
    def the_source_is_read(self, full: bool, kill: Kill) -> None:
        world = self.world
        world.write_source()
        world.runs += 1
        self.last_run = f"run{world.runs}"
        for step in STEPS:
            words = [step, "--run-key", self.last_run, *(["--full"] if full and step == "ingest" else [])]
            if not kill or kill[0] != step or world.run(*words, kill_at=kill[1]) is None:
                outcome = world.run(*words)
        assert outcome is not None
        self._held_offline(everything=full or self.mark is None or self.renamed or world.snapshot)
        arrivals = [row.created for row in world.rows.values()]
        self.mark = max([*arrivals, *([self.mark] if self.mark else [])])
        self.counted = self._counted_now()
        self.renamed = False

    @precondition(lambda self: self.last_run)
    @rule()
    def the_last_step_is_repeated(self) -> None:
        before = self.world.offline_bytes()
        self.world.run("explore-and-validate", "--run-key", self.last_run)
        assert self.world.offline_bytes() == before

    @precondition(lambda self: self.stored)
    @rule(kill=KILLS)
    def the_online_store_is_brought_up(self, kill: Kill) -> None:
        if not kill or kill[0] != "materialize" or self.world.run("materialize", kill_at=kill[1]) is None:
            self.world.run("materialize")
        for shop in range(1, 4):
            self._held_online(shop)

    @precondition(lambda self: len({event.date() for _, event, _ in self.stored}) > 1)
    @rule(data=st.data(), kill=KILLS)
    def a_day_of_the_offline_store_is_removed(self, data: Any, kill: Kill) -> None:
        """By a person, with what it held online before."""
        # one of the others has the column of each feature, or there is nothing to materialize
        having = {event.date() for (_, event, _), values in self.stored.items() if self.world.rate in values}
        days = sorted(day for day in {event.date() for _, event, _ in self.stored} if having - {day})
        if not days:
            return
        self.the_online_store_is_brought_up(None)
        day = data.draw(st.sampled_from(days))
        self.world.remove_day(day)
        self.stored = {row: values for row, values in self.stored.items() if row[1].date() != day}
        self.last_run = ""  # repeated, it would bring the rows back
        self.the_online_store_is_brought_up(kill)

    @precondition(lambda self: self.stored)
    @rule(data=st.data(), before=KILLS, kill=KILLS)
    def rows_of_the_offline_store_are_taken_out(self, data: Any, before: Kill, kill: Kill) -> None:
        """A shop's of one day, while what was there may be half online: the run before was killed."""
        if before and before[0] == "materialize":
            self.world.run("materialize", kill_at=before[1])
        day, shop = data.draw(st.sampled_from(sorted({(event.date(), shop) for shop, event, _ in self.stored})))
        self.world.take_out(day, shop)
        self.stored = {row: values for row, values in self.stored.items() if (row[1].date(), row[0]) != (day, shop)}
        self.last_run = ""  # repeated, it would bring the rows back
        self.the_online_store_is_brought_up(kill)

    @precondition(lambda self: self.stored)
    @rule(full=st.booleans(), kill=KILLS)
    def a_feature_is_renamed(self, full: bool, kill: Kill) -> None:
        if not self.world.rows:
            return
        self.world.rate = "quote" if self.world.rate == "rate" else "rate"
        self.world.define()
        self.renamed = True
        self.the_source_is_read(full, kill)

    @precondition(lambda self: self.stored)
    @rule(hours=st.lists(st.integers(-2, 90), max_size=3))
    def features_are_joined(self, hours: list[int]) -> None:
        """At the very moments of stored rows too."""
        moments = {event for _, event, _ in self.stored} | {BASE + timedelta(hours=hour) for hour in hours}
        asked = [(shop, moment) for shop in range(1, 4) for moment in sorted(moments)]
        for (shop, moment), found in zip(asked, self.world.joined(asked), strict=True):
            known = [row for row in self.stored if row[0] == shop and row[1] <= moment]
            right = self.stored[max(known, key=lambda row: row[1:])] if known else {}
            assert found == {name: right.get(name) for name in self.world.columns}, (shop, moment, found, right)

    def _counted_now(self) -> Counter[date]:
        """Day of arrival → rows, before the look-back: a day that has another number is read again."""
        assert self.mark
        return Counter(r.created.date() for r in self.world.rows.values() if r.created < self.mark - LOOKBACK)

    def _held_offline(self, *, everything: bool) -> None:
        """Rows that were read are as the source has them; others are as they were, or as the source has them."""
        now_counted = self._counted_now() if self.mark else Counter()
        apart = {day for day in {*now_counted, *self.counted} if now_counted[day] != self.counted[day]}
        rows = [row for row in self.world.rows.values() if row.shop not in self.forgotten]
        found, at_source = self.world.offline(), seen_values(rows)
        for identity in {*found, *at_source, *self.stored}:
            before, now = self.stored.get(identity), found.get(identity)
            values = at_source.get(identity, set())
            certainly = everything or identity[2].date() in apart
            certainly |= self.mark is not None and identity[2] >= self.mark - LOOKBACK
            held, unchanged = now and self.world.held(now), before and self.world.held(before)
            if len(values) == 1 and certainly:
                assert held == next(iter(values)), (identity, held, values)
            elif not values and self.world.snapshot:
                assert held is None, (identity, held)
            else:
                assert held == unchanged or (len(values) == 1 and held in values), (identity, held, unchanged, values)
            assert now is None or before is None or {*before} - {GONE} <= {*now}, "a stored column is gone"
        self.stored = found

    def _held_online(self, shop: int) -> None:
        """The row of the latest event time, of those the last created."""
        rows = sorted((event, created) for key, event, created in self.stored if key == shop)
        held = self.world.online(shop)
        if not rows:
            assert held is None
            return
        event, created = rows[-1]
        values = self.stored[shop, event, created]
        if GONE in values:
            assert held == (event, {GONE: 1}), "a mark, and no features"
            return
        assert held == (event, {name: values.get(name) for name in self.world.columns})


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[type[DataPath]]:
    """The state machine with its processes."""
    server = RedisServer(tmp_path / "redis")
    server.start()
    steps = Steps(tmp_path, TWINSERVE_REDIS_URL=server.url)
    DataPath.folder, DataPath.server, DataPath.steps = tmp_path, server, steps
    try:
        yield DataPath
    finally:
        steps.close()
        server.stop()


def test_both_stores_hold_what_the_source_says(machine: type[DataPath], pytestconfig: pytest.Config) -> None:
    minutes = pytestconfig.getoption("--data-path-minutes")
    until = time.monotonic() + 60 * (minutes or 0)
    chosen = settings(
        max_examples=6, stateful_step_count=14, deadline=None, database=None, derandomize=not minutes,
        print_blob=True, suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    while True:
        run_state_machine_as_test(machine, settings=chosen)
        if time.monotonic() >= until:
            return
