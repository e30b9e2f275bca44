"""Of two commands at once that write the same, one works; the other is told, waits, or changes nothing.

The first is stopped before an act of its own, the second is started then and given a moment, and the first goes on.
What comes of it must be what comes of one alone, or of the two one after the other. `make test-kills` runs these; what
is told and waited for by steps of the data pipeline is in `data_pipeline/tests/test_one_at_a_time.py` too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from disk_acts import ALL, RENAME
from home_outcome import different
from killable_steps import Said, Steps
from pipeline_steps import (
    APPLY,
    EVERY,
    GENERATE,
    SCRIPTS,
    Step,
    batch_steps,
    change_source,
    data_steps,
    training_steps,
)
from redis_server import RedisServer
from step_walk import Walk, spread
from worked_home import Outcome, WorkedHome

from twinserve.errors import ExitCode

pytestmark = [pytest.mark.integration, pytest.mark.kills]
MOMENT = 1.5  # seconds in which the second comes to the place where it waits; SQLite's patience is 5
PATIENCE = 15.0  # seconds for a second that is told, on a busy machine; where it waits for the first, they are lost
TOLD = "can't begin: "


PAIRS = [
    *zip(data_steps("first"), data_steps("second", change_source), strict=True),
    *zip(training_steps("first"), training_steps("second"), strict=True),
    *zip(batch_steps("first"), batch_steps("second"), strict=True),
]


@dataclass
class Race:
    """What came of two commands at once; the first had stopped before `act`, the second came then."""

    act: str
    first: Said
    second: Said
    outcome: Outcome

    @property
    def codes(self) -> list[int]:
        """Of both."""
        return [self.first.code, self.second.code]

    @property
    def told(self) -> list[bool]:
        """Which was told that the other is at work."""
        return [said.code == ExitCode.TRANSIENT and TOLD in said.text for said in (self.first, self.second)]


@dataclass
class Turns:
    """Two steps one after the other."""

    home: WorkedHome
    order: tuple[Step, Step]
    _known: dict[tuple[bool, ...], tuple[list[int], Outcome]] = field(default_factory=dict)

    def without_told(self, race: Race) -> tuple[list[int], Outcome]:
        """Exit codes, that of the first run before that of the second, and what comes of it.

        A step that was told in the race, and so did nothing, is left out.
        """
        told = tuple(race.told)
        if told not in self._known:
            self.home.set_back()
            ended = {step.key: self.home.ended(step).code for step in self.order if not told[step.key == "second"]}
            codes = [ended.get(key, ExitCode.TRANSIENT) for key in ("first", "second")]
            self._known[told] = codes, self.home.outcome()
        return self._known[told]


@dataclass
class Two:
    """One home, and two that work on it."""

    walk: Walk
    other: Steps

    def races(self, home: WorkedHome, step: Step, key: str, acts: Sequence[str], most: int) -> Iterator[Race]:
        """The step, whose acts these are, beside the same one of run `key`; up to `most` races, from one state."""
        for at in spread(acts[1:], most, (RENAME, "commit")):
            if ended := self._race(home, step, at + 1, key):
                yield Race(f"act {at + 1} ({acts[at + 1]})", *ended, home.outcome())

    def _race(self, home: WorkedHome, step: Step, at: int, key: str) -> tuple[Said, Said] | None:
        """None where the first came to its end without act `at`.

        A second that is told, or comes before the first has begun its work, ends while the first still stands.
        """
        home.set_back()
        home.steps.begin(step.script, *step.words(), kinds=ALL, stop_at=at)
        if not home.steps.stopped():
            home.steps.end()
            return None
        self.other.begin(step.script, *step.words(key))
        self.other.wait(PATIENCE if step.told and step.key == key else MOMENT)
        home.steps.go_on()
        return home.steps.end(), self.other.end()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as found:
        yield found


@pytest.fixture(scope="module")
def every(server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    yield from two_in(tmp_path_factory.mktemp("races") / "world", server, EVERY)


@pytest.fixture(scope="module")
def pairs(server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    yield from two_in(tmp_path_factory.mktemp("pairs") / "world", server, [GENERATE, APPLY, *in_pairs()])


@pytest.mark.parametrize("step", EVERY, ids=lambda step: step.name)
def test_of_two_of_one_run_key_one_is_at_work(every: Two, step: Step, pytestconfig: pytest.Config) -> None:
    home = every.walk.before(step)
    _, acts = home.counted(step)
    right = home.outcome()
    most = max(pytestconfig.getoption("--kills"), 3)  # a single act may lie where nothing is locked yet
    races = list(every.races(home, step, step.key, acts, most))
    wrong = [f"{race.act}: {line}" for race in races for line in wrong_beside_itself(race, right)]
    assert not wrong, "\n".join(wrong)
    assert races
    assert not step.told or any(any(race.told) for race in races)


@pytest.mark.parametrize(("step", "beside"), PAIRS, ids=lambda step: step.name)
def test_two_runs_at_once_come_to_what_one_after_the_other_does(
    pairs: Two, step: Step, beside: Step, pytestconfig: pytest.Config
) -> None:
    home = pairs.walk.before(step)
    _, acts = home.counted(step)
    races = list(pairs.races(home, step, beside.key, acts, pytestconfig.getoption("--kills")))
    turns = [Turns(home, order) for order in ((step, beside), (beside, step))]
    wrong = [f"{race.act}: {line}" for race in races for line in not_in_turn(turns, race)]
    assert not wrong, "\n".join(wrong)
    assert races


def two_in(folder: Path, server: RedisServer, steps: list[Step]) -> Iterator[Two]:
    home = WorkedHome.at(folder, server.client(), server.url)
    other = Steps(folder / "other", SCRIPTS, **home.steps.environment)
    try:
        yield Two(Walk(home, steps), other)
    finally:
        home.close()
        other.close()


def in_pairs() -> Iterator[Step]:
    """All steps of `PAIRS`; the later candidate is compared with the new champion before it is checked."""
    evaluation, validation = training_steps("second")[-2:]
    for first, second in PAIRS:
        yield first
        if second.name == validation.name:
            yield evaluation
        yield second


def wrong_beside_itself(race: Race, right: Outcome) -> list[str]:
    """One must have done its work; the other too, or it was told; and what is there is what one alone leaves."""
    ended = list(zip((race.first, race.second), race.told, strict=True))
    bad = [f"one ends with {said.code}: {said.text[-1500:]}" for said, told in ended if said.code and not told]
    none = [] if ExitCode.OK in race.codes else [f"none has worked: {race.codes}"]
    return [*bad, *none, *different(right, race.outcome)]


def not_in_turn(turns: Sequence[Turns], race: Race) -> list[str]:
    """What is otherwise than after either order of the two; nothing where one of them is right."""
    wrong = []
    for turn in turns:
        codes, outcome = turn.without_told(race)
        lines = different(outcome, race.outcome)
        if codes == race.codes and not lines:
            return []
        wrong += [f"{race.codes}; {turn.order[0].name} first: {codes} {line}" for line in lines or [""]]
    return [*wrong, *(said.text[-800:] for said in (race.first, race.second) if said.code)]
