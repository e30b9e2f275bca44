"""The runs that hold rows of a key: which they are, and what to type to begin anew those that were under way."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from data_pipeline.run_folder import STEPS, ViewRun

OWN = "data pipeline runs"
RUNS_NAMED = 10


@dataclass(frozen=True)
class HeldRuns:
    """Attributes:
    under_way: folders of those of the data pipeline that have not ended for one of their views, before any loses rows:
        their steps go on only where all views have what the step before leaves.
    found: kind of run → the keys of those that hold rows.
    emptied: folder of a run of the data pipeline → the views of which it loses all rows.
    """

    under_way: frozenset[Path] = frozenset()
    found: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    emptied: dict[Path, list[str]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def among(cls, runs: Iterable[ViewRun]) -> Self:
        """None is known to hold rows; `runs` are all of the data pipeline."""
        return cls(frozenset(run.folder.parent for run in runs if not run.did(STEPS[-1])))

    def note(self, kind: str, key: str) -> None:
        """A run holds rows."""
        if key not in self.found[kind]:
            self.found[kind].append(key)

    def note_own(self, run: ViewRun) -> None:
        """A run of the data pipeline does, of one view."""
        self.note(OWN, run.run_key)
        self.emptied[run.folder.parent].append(run.view)

    def commands(self) -> list[str]:
        """What begins anew those that were under way; a view that lost nothing is left alone."""
        return [
            shlex.join(["data-pipeline", STEPS[0], "--run-key", folder.name, *only])
            for folder, views in sorted(self.emptied.items())
            if folder in self.under_way
            for only in ([[]] if _has_no_other(folder, views) else [["--view", view] for view in views])
        ]

    def named(self, kind: str) -> str:
        """Some of them, for a line of text."""
        keys = self.found.get(kind, [])
        more = f" and {len(keys) - RUNS_NAMED} more" if len(keys) > RUNS_NAMED else ""
        return f": {', '.join(keys[:RUNS_NAMED])}{more}" if keys else ""


def _has_no_other(folder: Path, views: list[str]) -> bool:
    return {part.name for part in folder.iterdir() if part.is_dir()} <= set(views)
