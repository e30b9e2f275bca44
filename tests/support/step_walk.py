"""A walk along steps: each is given the home as the steps before it leave it."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline_steps import Step
from worked_home import WorkedHome


class Walk:
    """One home, brought before one step after another."""

    def __init__(self, home: WorkedHome, steps: Sequence[Step]) -> None:
        self.home, self._left, self._at = home, list(steps), False

    def before(self, step: Step) -> WorkedHome:
        """The home with all that comes before `step` done, which lies ahead; this state is what it is set back to."""
        home = self.home
        if self._at:
            home.set_back()
            home.run(self._left.pop(0))
        while self._left[0] is not step:
            home.prepare(self._left[0])
            home.run(self._left.pop(0))
        home.prepare(step)
        home.save()
        self._at = True
        return home


def spread(acts: Sequence[str], most: int, always: Sequence[str] = ()) -> list[int]:
    """Numbers of acts: those of the kinds `always`, then of the others as many as make `most`, evenly spread."""
    chosen = [number for number, act in enumerate(acts) if act.split()[0] in always]
    chosen = _evenly(chosen, most)
    others = sorted(set(range(len(acts))) - set(chosen))
    return sorted([*chosen, *_evenly(others, most - len(chosen))])


def _evenly(numbers: list[int], most: int) -> list[int]:
    if most <= 0:
        return []
    return sorted({numbers[place * (len(numbers) - 1) // max(most - 1, 1)] for place in range(most)} if numbers else ())
