"""All works, in the order of the table."""

from __future__ import annotations

from benchmarks.contest import Work
from benchmarks.works.batch import PRESET, batch
from benchmarks.works.join import JOIN
from benchmarks.works.materialize import MATERIALIZE
from benchmarks.works.scoring import scoring
from twinserve.errors import BadInput


def catalogue(*, quick: bool) -> tuple[Work, ...]:
    """Quick: without the second model, whose training takes as long as all the rest."""
    plan = "quick" if quick else "usual"
    presets = (PRESET,) if quick else (PRESET, "elastic_net")
    return (JOIN, MATERIALIZE, batch(plan), *(scoring(plan, preset) for preset in presets))


def chosen(works: tuple[Work, ...], only: str) -> tuple[Work, ...]:
    """Those whose name begins with one of the words; all for an empty text.

    Raises:
        BadInput: a word fits none.
    """
    words = only.replace(",", " ").split()
    if unknown := [word for word in words if not any(work.name.startswith(word) for work in works)]:
        raise BadInput(f"no benchmark {unknown[0]!r}", fix=f"There are {', '.join(work.name for work in works)}")
    return tuple(work for work in works if not words or work.name.startswith(tuple(words)))
