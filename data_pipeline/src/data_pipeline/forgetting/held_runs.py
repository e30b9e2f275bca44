"""The runs that hold rows of a key: which they are, and what to type to begin anew those that were under way."""

from __future__ import annotations

import shlex
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from data_pipeline.run_folder import STEPS, ViewRun

OWN = "data pipeline runs"
RUNS_NAMED = 10


@dataclass
class HeldRuns:
    """Attributes:
    found: kind of run → the keys of those that hold rows.
    under_way: those of the data pipeline that had not ended → the views of which they lose all rows.
    """

    found: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    under_way: dict[Path, list[str]] = field(default_factory=lambda: defaultdict(list))

    def note(self, kind: str, key: str) -> None:
        """A run holds rows."""
        if key not in self.found[kind]:
            self.found[kind].append(key)

    def note_own(self, run: ViewRun, *, ended: bool) -> None:
        """A run of the data pipeline does, of one view."""
        self.note(OWN, run.run_key)
        if not ended:
            self.under_way[run.folder.parent].append(run.view)

    def commands(self) -> list[str]:
        """What begins them anew; a view of a run that lost nothing is left alone."""
        return [
            shlex.join(["data-pipeline", STEPS[0], "--run-key", folder.name, *only])
            for folder, views in sorted(self.under_way.items())
            for only in ([[]] if _has_no_other(folder, views) else [["--view", view] for view in views])
        ]

    def named(self, kind: str) -> str:
        """Some of them, for a line of text."""
        keys = self.found.get(kind, [])
        more = f" and {len(keys) - RUNS_NAMED} more" if len(keys) > RUNS_NAMED else ""
        return f": {', '.join(keys[:RUNS_NAMED])}{more}" if keys else ""


def _has_no_other(folder: Path, views: list[str]) -> bool:
    return {part.name for part in folder.iterdir() if part.is_dir()} <= set(views)
