"""Where the rows of a step went: the parts must add up to what it was given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from twinserve.errors import PermanentError


class LedgerMismatch(PermanentError):
    """Rows were lost or counted twice between two steps."""


@dataclass(frozen=True)
class Ledger:
    """Rows that a step was given, and what became of them.

    Attributes:
        seen: rows that it was given, counted by the step before it.
        went: destination → rows, for example `stored` or `set_aside`.
        ignored: the rule by which rows were left out → rows.
    """

    seen: int
    went: Mapping[str, int]
    ignored: Mapping[str, int] = field(default_factory=dict)

    @property
    def accounted(self) -> int:
        """The rows whose whereabouts are known."""
        return sum(self.went.values()) + sum(self.ignored.values())

    def to_dict(self) -> dict[str, int | dict[str, int]]:
        """As it stands in a step's JSON: `seen`, the destinations, `ignored` by rule."""
        return {"seen": self.seen, **self.went, "ignored": dict(self.ignored)}

    def __add__(self, other: Ledger) -> Ledger:
        """Of both."""
        went, ignored = _together(self.went, other.went), _together(self.ignored, other.ignored)
        return Ledger(self.seen + other.seen, went, ignored)

    def balanced(self, step: str) -> Ledger:
        """Itself, if it adds up.

        Raises:
            LedgerMismatch: it does not; names the step and every count.
        """
        if self.accounted == self.seen:
            return self
        parts = ", ".join(f"{rows:,} {name}" for name, rows in {**self.went, **self.ignored}.items())
        raise LedgerMismatch(
            f"{step} was given {self.seen:,} rows and accounts for {self.accounted:,}: {parts}",
            fix="Begin again, under another run key if there is one; if it comes again, it is a fault of Twinserve",
        )


def _together(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in dict.fromkeys([*one, *other])}
