"""What is measured: a case, its sizes, and who does it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from benchmarks.job import Facts, Job
from benchmarks.workspace import Workspace

HUGE = 1 << 62


@dataclass(frozen=True)
class Answer:
    """Whether a contestant's answer is the right one.

    Attributes:
        rows: in its answer.
        lost: rows of the right answer that it lacks.
        same: what it has is right; None: nobody else at this size to compare it with.
        ordered: rows stand in the order of the input; None where there is no order.
        note: what else is worth saying, in a few words.
    """

    rows: int
    lost: int = 0
    same: bool | None = True
    ordered: bool | None = None
    note: str = ""


@dataclass(frozen=True)
class Contestant:
    """One way to do a case.

    Attributes:
        name: as the table has it.
        module: below `benchmarks.contestants`.
        ours: one of ours; each other one is compared with the first of these that has the same `pair`.
        largest: bigger sizes are not tried: it is known to take minutes or all memory there.
        options: handed to the module.
        pair: a way of working; only contestants of one way are compared.
        limit: does less than the case: what the machine could do at best.
    """

    name: str
    module: str
    ours: bool = False
    largest: int = HUGE
    options: dict[str, str] = field(default_factory=dict)
    limit: bool = False
    pair: str = ""


@dataclass(frozen=True)
class Sizes:
    """Sizes of a quick try, of the usual run, and those that are asked for."""

    quick: tuple[int, ...]
    usual: tuple[int, ...]
    large: tuple[int, ...] = ()

    def chosen(self, *, quick: bool, large: bool) -> tuple[int, ...]:
        """Those of this run."""
        return self.quick if quick else self.usual + (self.large if large else ())


@dataclass(frozen=True)
class Case:
    """One section of the table.

    Attributes:
        name: to pick it, and in file names.
        title: what is done to what.
        unit: what sizes count.
        measured: what the clock covers.
        inputs: (workspace, size) → a block with the inputs of the jobs; makes what is not there.
        check: (workspace, job after its run, facts) → whether the answer is right; run once for each contestant.
        environment: (workspace, job) → variables of its processes.
    """

    name: str
    title: str
    unit: str
    measured: str
    sizes: Sizes
    contestants: tuple[Contestant, ...]
    inputs: Callable[[Workspace, int], AbstractContextManager[dict[str, str]]]
    check: Callable[[Workspace, Job, Facts], Answer]
    environment: Callable[[Workspace, Job], dict[str, str]] = lambda _workspace, _job: {}
