"""From figures to rows: a row for each service, ours first, and how many times better ours is."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from benchmarks.online.cases import Case
from benchmarks.online.measured import Figures
from benchmarks.table import ABSENT, MEGA, duration, three_digits, times

Cell = Callable[[Figures, Figures | None], str]
Column = tuple[str, Cell]


def _ratio(value: Callable[[Figures], float], *, more_is_better: bool = False) -> Cell:
    """How many times better ours is: above 1 where it is."""

    def cell(each: Figures, ours: Figures | None) -> str:
        if ours is None or each is ours:
            return ABSENT
        other, own = value(each), value(ours)
        return times(own / other if more_is_better else other / own)

    return cell


def _errors(each: Figures, _: Figures | None) -> str:
    return f"{sum(load.errors for load in each.loads):,}"


def _time(name: str) -> Cell:
    return lambda each, _: duration(getattr(each.best, name))


LATENCIES: tuple[Column, ...] = (("p50", _time("p50")), ("p99", _time("p99")), ("p99.9", _time("p999")))
COST: tuple[Column, ...] = (
    ("errors", _errors),
    ("peak memory", lambda each, _: f"{each.peak_bytes / MEGA:,.0f} MB"),
    ("cores: service, Redis, generator, others", lambda each, _: _cores(each)),
)
COLUMNS: dict[str, tuple[Column, ...]] = {
    "closed": (
        ("requests a second", lambda each, _: three_digits(each.best.rate)),
        ("ours, times as many", _ratio(lambda each: each.best.rate, more_is_better=True)),
        *LATENCIES,
        ("ours, times lower p99", _ratio(lambda each: each.best.p99)),
        ("service, processor time a request", lambda each, _: duration(each.best.service_share / each.best.rate)),
        *COST,
    ),
    "open": (
        ("requests a second", lambda each, _: three_digits(each.best.rate)),
        *LATENCIES,
        ("p99.9 by p50", lambda each, _: three_digits(each.best.p999 / each.best.p50)),
        ("longest pause", _time("longest")),
        ("sent late, p99.9", _time("late")),
        *COST,
    ),
    "start": (
        ("ready after", lambda each, _: duration(min(each.ready_seconds))),
        ("ours, times as soon", _ratio(lambda each: min(each.ready_seconds))),
        ("memory then", lambda each, _: f"{max(each.ready_bytes) / MEGA:,.0f} MB"),
    ),
}


def headings(case: Case) -> list[str]:
    """Of the case's table."""
    return ["service", *(name for name, _ in COLUMNS[case.kind])]


def rows(case: Case, figures: Iterable[Figures]) -> list[list[str]]:
    """As the headings have them; one that was not run says why."""
    found = [each for each in figures if each.case == case.name]
    ours = next((each for each in found if each.ours and not each.absent), None)
    return [_row(case, each, ours) for each in found]


def markdown(case: Case, figures: Iterable[Figures]) -> str:
    """A table in Markdown."""
    heads = headings(case)
    lines = [heads, ["---", *("---:",) * (len(heads) - 1)], *rows(case, figures)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _row(case: Case, each: Figures, ours: Figures | None) -> list[str]:
    columns = COLUMNS[case.kind]
    if each.absent:
        return [each.title, f"{ABSENT} ({each.absent})", *(ABSENT,) * (len(columns) - 1)]
    return [each.title, *(cell(each, ours) for _, cell in columns)]


def _cores(each: Figures) -> str:
    load = each.best
    return ", ".join(
        f"{share:.2f}" for share in (load.service_share, load.redis_share, load.generator_share, load.others_share)
    )
