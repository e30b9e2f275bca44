"""What is measured, in the order of the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks.online.contestants import ALL, ALONE, BARE, ONE_WORKER, OURS, PLAIN, TWO_WORKERS, Contestant
from benchmarks.online.world import Plan
from twinserve.errors import BadInput

NARROW = Plan("narrow", 10_000, 3, "elastic_net")
WIDE = Plan("wide", 10_000, 50, "gradient_boosting")


@dataclass(frozen=True)
class Case:
    """One section of the page.

    Attributes:
        name: to pick it, and in file names.
        kind: closed or open loop, or the start alone.
        candidates: of a request.
        measured: how.
        quick: part of the quick form.
    """

    name: str
    kind: Literal["closed", "open", "start"]
    plan: Plan
    candidates: int
    contestants: tuple[Contestant, ...]
    title: str
    measured: str
    quick: bool = False

    @property
    def section(self) -> str:
        """The place on the page."""
        return f"online-{self.name}"


CLOSED = "a closed loop of 16 connections, each with its next request as soon as it has its answer (wrk)"
OPEN = (
    "an open loop: requests at a constant rate, half of what each service gave in a closed loop just before; a request "
    "is timed from the moment when it was due. The service has a core of its own, load generator and Redis the others"
)
CASES = (
    Case("5", "closed", NARROW, 5, (*ALL, ALONE), "Online: 5 candidates, 3 features, linear model", CLOSED, quick=True),
    Case("100", "closed", NARROW, 100, (*ALL, ALONE), "Online: 100 candidates, 3 features, linear model", CLOSED),
    Case("500", "closed", WIDE, 500, (*ALL, ALONE), "Online: 500 candidates, 50 features, gradient boosting", CLOSED),
    Case("tail", "open", NARROW, 5, (OURS, PLAIN, BARE), "Online: the tail at half of the peak, 5 candidates", OPEN),
    Case(
        "workers", "closed", NARROW, 5, (TWO_WORKERS, ONE_WORKER),
        "Online: two workers against one, 5 candidates",
        f"{CLOSED}; load generator and Redis run on the same cores",
    ),
    Case(
        "start", "start", NARROW, 5, ALL, "Online: start-up",
        "from the start of the process to the first 200 of /readyz, files in the system's cache", quick=True,
    ),
)  # fmt: skip


def chosen(only: str, *, quick: bool) -> tuple[Case, ...]:
    """Those that are named; for an empty text all, or those of the quick form.

    Raises:
        BadInput: there is no such case.
    """
    words = only.replace(",", " ").split()
    if unknown := [word for word in words if all(case.name != word for case in CASES)]:
        raise BadInput(f"no case {unknown[0]!r}", fix=f"There are {', '.join(case.name for case in CASES)}")
    return tuple(case for case in CASES if (case.name in words if words else case.quick or not quick))
