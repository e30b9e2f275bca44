"""From measurements to rows: our figure, the other's, the ratio. What was not run has no figure and no ratio."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from benchmarks.contest import Answer
from benchmarks.measurement import Measurement

ABSENT = "-"
MEGA = 1_000_000
UNITS = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6))
HEADINGS = (
    "size", "against", "ours", "theirs", "times faster", "our memory", "their memory", "ours of theirs", "our answer",
    "their answer",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """Ours against one other; at the same size, or at another where that is said."""

    ours: Measurement
    other: Measurement

    @property
    def times_faster(self) -> float | None:
        """Their seconds by ours, for as many rows; None where one of the two was not run."""
        if self.ours.absent or self.other.absent:
            return None
        return (self.other.best / self.other.size) / (self.ours.best / self.ours.size)

    @property
    def memory_ratio(self) -> float | None:
        """Our peak by theirs, at the same size."""
        if self.ours.absent or self.other.absent or self.ours.size != self.other.size:
            return None
        return self.ours.peak / self.other.peak

    def cells(self) -> tuple[str, ...]:
        """As the headings have them."""
        against = self.other.contestant
        if self.ours.size != self.other.size:
            against += f" at {self.other.size:,}, by rows a second"
        return (
            f"{self.ours.size:,}", against, seconds(self.ours), seconds(self.other), times(self.times_faster),
            megabytes(self.ours), megabytes(self.other), times(self.memory_ratio),
            answer(self.ours), answer(self.other),
        )  # fmt: skip


def rows_of(measurements: Iterable[Measurement]) -> list[Row]:
    """The rows of one case, by size; at a size that another does not reach, ours is set against its largest one too."""
    found = list(measurements)
    rows = [row for _, group in groupby(found, key=lambda each: each.size) for row in _of_one_size(list(group))]
    return rows + list(_beyond(found))


def _of_one_size(group: list[Measurement]) -> Iterator[Row]:
    first: dict[str, Measurement] = {}
    for each in group:
        if each.ours:
            first.setdefault(each.pair, each)
    yield from (Row(first[each.pair], each) for each in group if each.pair in first and each is not first[each.pair])


def _beyond(found: list[Measurement]) -> Iterator[Row]:
    """Our largest size against the largest of those who stopped before it."""
    reached = [each for each in found if each.ours and not each.absent]
    if not reached:
        return
    largest = max(reached, key=lambda each: each.size)
    for name in dict.fromkeys(each.contestant for each in found if not each.ours):
        theirs = [each for each in found if each.contestant == name and not each.absent]
        if theirs and (last := max(theirs, key=lambda each: each.size)).size < largest.size:
            yield Row(largest, last)


def markdown(rows: Iterable[Row], unit: str) -> str:
    """A table in Markdown."""
    heads = (unit, *HEADINGS[1:])
    ruler = ("---:", "---", *("---:",) * 6, "---", "---")
    lines = [heads, ruler, *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def seconds(each: Measurement) -> str:
    """The best run, and whether it was the only one; the reason where there is none."""
    if each.absent:
        return f"{ABSENT} ({each.absent})"
    return duration(each.best) + (" (one run)" if len(each.seconds) == 1 else "")


def duration(took: float) -> str:
    """Seconds, with three digits that count."""
    unit, factor = next((pair for pair in UNITS if took >= pair[1]), UNITS[-1])
    return f"{three_digits(took / factor)} {unit}"


def megabytes(each: Measurement) -> str:
    """Peak resident memory, and intermediate files where there were any."""
    if each.absent:
        return ABSENT
    files = f" + {each.scratch_bytes / MEGA:,.0f} MB of files" if each.scratch_bytes >= MEGA else ""
    return f"{each.peak / MEGA:,.0f} MB{files}"


def times(ratio: float | None) -> str:
    """A ratio, `-` where there is none."""
    return ABSENT if ratio is None else f"{three_digits(ratio)}×"  # noqa: RUF001 - the sign that is meant


def answer(each: Measurement) -> str:
    """Whether it was right, in a few words."""
    return ABSENT if each.absent or each.answer is None else described(each.answer)


def described(found: Answer) -> str:
    """Rows lost first; then order, where there is one."""
    if found.same is None:
        return "compared with nobody"
    parts = [f"{found.lost:,} rows lost" if found.lost else "", "" if found.same else "WRONG", found.note]
    order = {True: "in order", False: "another order", None: ""}[found.ordered]
    right = "" if found.lost or not found.same or found.note else "right"
    return ", ".join(part for part in (*parts, right, order) if part)


def three_digits(number: float) -> str:
    """Rounded to three digits, without an exponent."""
    if number >= 100:  # noqa: PLR2004 - three digits
        return f"{number:,.0f}"
    return f"{number:.1f}" if number >= 10 else f"{number:.2f}"  # noqa: PLR2004
