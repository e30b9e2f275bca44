"""What is measured, in the order of the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks.online.world import Plan
from twinserve.errors import BadInput

NARROW = Plan("narrow", 10_000, 3, "elastic_net")
WIDE = Plan("wide", 10_000, 50, "gradient_boosting")
Kind = Literal["closed", "open", "workers", "start"]


@dataclass(frozen=True)
class Work:
    """One section of the page.

    Attributes:
        name: to pick it, and in file names.
        candidates: of a request.
        measured: how.
    """

    name: str
    kind: Kind
    plan: Plan
    candidates: int
    title: str
    measured: str

    @property
    def section(self) -> str:
        """The place on the page."""
        return f"online-{self.name}"


CLOSED = "a closed loop of 16 connections, each with its next request as soon as it has its answer (wrk)"
WORKS = (
    Work("5", "closed", NARROW, 5, "Online: 5 candidates × 3 features, linear model", CLOSED),
    Work("100", "closed", NARROW, 100, "Online: 100 candidates × 3 features, linear model", CLOSED),
    Work("500", "closed", WIDE, 500, "Online: 500 candidates × 50 features, gradient boosting", CLOSED),
)


def chosen(only: str) -> tuple[Work, ...]:
    """Those that are named; all for an empty text.

    Raises:
        BadInput: there is no such work.
    """
    words = only.replace(",", " ").split()
    if unknown := [word for word in words if all(work.name != word for work in WORKS)]:
        raise BadInput(f"no work {unknown[0]!r}", fix=f"There are {', '.join(work.name for work in WORKS)}")
    return tuple(work for work in WORKS if not words or work.name in words)
