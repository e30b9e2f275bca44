"""Which event times rows may have that the offline store has lost."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Self

_DAY = 86_400 * 1_000_000
FIRST, LAST = -(1 << 63), (1 << 63) - 1  # earlier, and later, than any event time
Span = tuple[int, int]


@dataclass(frozen=True)
class Lost:
    """Event times to look at.

    Attributes:
        spans: first and last in µs, both within: of the rows that a file had which has lost some. Sorted, and apart.
        everything: all up to the latest that was ever written from the offline store. What is later only a push can
            have written, of which the offline store has not heard yet: it stays.
    """

    spans: tuple[Span, ...] = ()
    everything: bool = False

    def __bool__(self) -> bool:
        return self.everything or bool(self.spans)

    def __or__(self, other: Lost) -> Lost:
        return Lost(_apart([*self.spans, *other.spans]), self.everything or other.everything)

    def to_text(self) -> str:
        """The form that is kept."""
        return " ".join([*(["all"] if self.everything else []), *(f"{first}..{last}" for first, last in self.spans)])

    @classmethod
    def from_text(cls, text: str) -> Self:
        """What `to_text` made, here or in an earlier release, which noted days."""
        words = text.split()
        return cls(_apart(_span(word) for word in words if word != "all"), "all" in words)

    def concerns(self, micros: int, written: int) -> bool:
        """Whether a row of this event time may be one of them.

        Args:
            written: the latest event time that was ever written from the offline store.
        """
        if self.everything and micros <= written:
            return True
        place = bisect_right(self.spans, (micros, LAST)) - 1
        return place >= 0 and micros <= self.spans[place][1]


def around(day: date) -> Span:
    """What a folder of this day can hold: it may be a day of any zone."""
    begin = (day - date(1970, 1, 1)) // timedelta(days=1) * _DAY
    return begin - _DAY, begin + 2 * _DAY


def _apart(spans: Iterable[Span]) -> tuple[Span, ...]:
    found: list[Span] = []
    for first, last in sorted(spans):
        if found and first <= found[-1][1]:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return tuple(found)


def _span(word: str) -> Span:
    first, dots, last = word.partition("..")
    if dots:
        return int(first), int(last)
    day, _, latest = word.partition(":")
    begin, end = around(date.fromisoformat(day))
    return begin, min(int(latest or LAST), end)
