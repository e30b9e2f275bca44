"""All cases, in the order of the table."""

from __future__ import annotations

from pathlib import Path

from benchmarks.cases.batch import PRESET, batch
from benchmarks.cases.join import JOIN
from benchmarks.cases.materialize import MATERIALIZE
from benchmarks.cases.scoring import scoring
from benchmarks.cases.steps import steps
from benchmarks.contest import Case
from twinserve.errors import BadInput


def catalogue(*, quick: bool, older: Path | None = None) -> tuple[Case, ...]:
    """Quick: without the second model, whose training takes as long as all the rest.

    Args:
        older: a checked out tree with its environment, whose steps are measured beside ours.
    """
    plan = "quick" if quick else "usual"
    presets = (PRESET,) if quick else (PRESET, "elastic_net")
    return (JOIN, MATERIALIZE, batch(plan), *(scoring(plan, preset) for preset in presets), steps(older))


def chosen(cases: tuple[Case, ...], only: str) -> tuple[Case, ...]:
    """Those whose name begins with one of the words; all for an empty text.

    Raises:
        BadInput: a word fits none.
    """
    words = only.replace(",", " ").split()
    if unknown := [word for word in words if not any(case.name.startswith(word) for case in cases)]:
        raise BadInput(f"no benchmark {unknown[0]!r}", fix=f"There are {', '.join(case.name for case in cases)}")
    return tuple(case for case in cases if not words or case.name.startswith(tuple(words)))
