"""Closed loops: contestants take turns, and each start measures every number of candidates of its world."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.online.contestants import Contestant
from benchmarks.online.load import Load
from benchmarks.online.measured import Figures
from benchmarks.online.session import Answers, session
from benchmarks.online.works import Work
from benchmarks.online.world import World
from benchmarks.process import RunFailed
from benchmarks.workshop import Workshop

Tell = Callable[[str], None]


def closed_loops(
    shop: Workshop, world: World, works: list[Work], who: tuple[Contestant, ...], runs: int, seconds: float, tell: Tell
) -> list[Figures]:
    """Every contestant at every work of one world, `runs` times, forwards and backwards in turn."""
    answers = Answers()
    loads: dict[tuple[str, str], list[Load]] = {}
    absent: dict[str, str] = {}
    for turn in range(runs):
        for each in who if turn % 2 == 0 else reversed(who):
            if each.name in absent:
                continue
            try:
                with session(shop, world, each, answers) as held:
                    for work in works:
                        load = held.closed(held.requests(work.candidates), seconds)
                        loads.setdefault((work.name, each.name), []).append(load)
                        tell(line(work, each, load))
            except RunFailed as failure:
                tell(str(failure))
                absent[each.name] = "failed"
    return [
        _figures(work, each, loads.get((work.name, each.name), []), absent.get(each.name, ""))
        for work in works
        for each in who
    ]


def line(work: Work, who: Contestant, load: Load) -> str:
    """What came of one run."""
    times = " ".join(f"{name} {value * 1e3:.2f}" for name, value in _times(load))
    return (
        f"{work.name:>7} {who.name:14} {load.rate:8,.0f} req/s  {times} ms  {load.errors} errors  "
        f"{load.server_bytes / 1e6:,.0f} MB  generator {load.generator_share:.0%} of a core"
    )


def _times(load: Load) -> list[tuple[str, float]]:
    return [("p50", load.p50), ("p99", load.p99), ("p99.9", load.p999), ("longest", load.longest)]


def _figures(work: Work, who: Contestant, loads: list[Load], absent: str) -> Figures:
    return Figures(work.name, who.name, who.title, who.ours, who.limit, tuple(loads), absent=absent)
