"""Contestants of one world, in turn: each start measures all cases of that world that it takes part in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.online.cases import Case
from benchmarks.online.contestants import Contestant
from benchmarks.online.load import Load
from benchmarks.online.measured import Figures
from benchmarks.online.session import Answers, Session, session
from benchmarks.online.world import World
from benchmarks.process import RunFailed
from benchmarks.workspace import Workspace
from twinserve.errors import PermanentError

Tell = Callable[[str], None]
PEAK_SHARE = 0.5  # of what a closed loop gets from the service, for the open loop


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Attributes:
        runs: of each contestant; an open loop runs once, at the first start.
        seconds: of a closed loop.
        open_seconds: of an open loop.
    """

    runs: int = 3
    seconds: float = 10
    open_seconds: float = 60


@dataclass
class Lane:
    """What one contestant has come to."""

    who: Contestant
    cases: list[Case]
    figures: dict[str, Figures] = field(default_factory=dict)
    absent: str = ""

    def note(self, case: Case, load: Load | None = None, *, server: tuple[float, int] | None = None) -> None:
        """Add a run, or a start."""
        who = self.who
        held = self.figures.get(case.name) or Figures(case.name, who.name, who.title, who.ours, who.limit)
        self.figures[case.name] = held.with_run(load) if load else held.with_start(*(server or (0, 0)))


def contest(
    workspace: Workspace, world: World, cases: list[Case], names: set[str], effort: Effort, tell: Tell
) -> list[Figures]:
    """Forwards and backwards in turn. One that fails is told, and is absent."""
    everybody = dict.fromkeys(who for case in cases for who in case.contestants if who.name in names)
    lanes = [Lane(who, [case for case in cases if who in case.contestants]) for who in everybody]
    answers = Answers()
    for turn in range(effort.runs):
        for lane in lanes if turn % 2 == 0 else reversed(lanes):
            if lane.absent or (turn and all(case.kind == "open" for case in lane.cases)):
                continue
            try:
                with session(workspace, world, lane.who, answers) as held:
                    _measure(held, lane, effort, turn, tell)
            except RunFailed as failure:
                tell(str(failure))
                lane.absent = "failed"
    return [_outcome(lane, case) for case in cases for lane in lanes if case in lane.cases]


def _measure(held: Session, lane: Lane, effort: Effort, turn: int, tell: Tell) -> None:
    for case in lane.cases:
        if case.kind == "start":
            lane.note(case, server=(held.server.ready_seconds, held.server.ready_bytes))
            tell(f"{case.name:>7} {lane.who.name:14} ready after {held.server.ready_seconds:.2f} s")
        elif case.kind == "closed":
            _note(lane, case, held.closed(case.candidates, effort.seconds), tell)
        elif turn == 0:
            rate = held.closed(case.candidates, min(effort.seconds, effort.open_seconds)).rate * PEAK_SHARE
            _note(lane, case, held.open(case.candidates, max(rate, 0.1), effort.open_seconds), tell)


def _note(lane: Lane, case: Case, load: Load, tell: Tell) -> None:
    """Keep the run.

    Raises:
        PermanentError: nothing was answered.
    """
    if load.requests == load.errors:
        raise PermanentError(f"{lane.who.name} has answered nothing", fix="Give it more time with SECONDS_EACH")
    lane.note(case, load)
    tell(line(case, lane.who, load))


def line(case: Case, who: Contestant, load: Load) -> str:
    """What came of one run."""
    named = {"p50": load.p50, "p99": load.p99, "p99.9": load.p999, "longest": load.longest}
    times = " ".join(f"{name} {value * 1e3:.2f}" for name, value in named.items())
    return (
        f"{case.name:>7} {who.name:14} {load.rate:8,.0f} req/s  {times} ms  {load.errors} errors  "
        f"{load.server_bytes / 1e6:,.0f} MB  cores: service {load.service_share:.2f} Redis {load.redis_share:.2f} "
        f"generator {load.generator_share:.2f} others {load.others_share:.2f}"
    )


def _outcome(lane: Lane, case: Case) -> Figures:
    who = lane.who
    found = lane.figures.get(case.name)
    return found or Figures(case.name, who.name, who.title, who.ours, who.limit, absent=lane.absent or "not run")
