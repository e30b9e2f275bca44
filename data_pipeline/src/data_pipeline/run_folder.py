"""The folder in which the steps of one run hand each other files, and who must have been there before."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from data_pipeline.publishing.changes import Changes
from twinserve.errors import StepMissing
from twinserve.features.feast_repo.views import ViewSpec
from twinserve.files.atomic import write_atomically
from twinserve.files.locks import alone
from twinserve.steps.same_arguments import refuse_others

VIEW = "view"
STEPS = ("ingest", "clean", "explore-and-validate")


class ViewRun:
    """One view in one run: `<scratch>/<view>/{raw/part-*.parquet, clean.parquet, rejected.parquet}`.

    A step that has done its work leaves `<step>.json`: without it, the next step knows that it is missing.
    """

    def __init__(self, scratch: Path, view: str, run_key: str) -> None:
        self.folder, self.view, self.run_key = scratch / view, view, run_key
        self.raw = self.folder / "raw"
        self.clean = self.folder / "clean.parquet"
        self.rejected = self.folder / "rejected.parquet"
        self.present = self.folder / "present.parquet"
        self.deleted = self.folder / "deleted.parquet"
        self.refused = self.folder / "refused.parquet"
        self.refused_corrections = self.folder / "refused-corrections.parquet"
        self.refused_deletions = self.folder / "refused-deletions.parquet"
        self.changes = Changes(self.folder / "changes.json")

    def alone(self, step: str) -> AbstractContextManager[None]:
        """A block in which no other step works on this view of this run.

        Raises:
            TransientError: one does; names it.
        """
        return alone(self.folder / "lock", f"{step} of {self.view} in run {self.run_key!r}")

    def begin(self, step: str) -> None:
        """Forget what this step and those after it did before: their input is about to change."""
        for later in STEPS[STEPS.index(step) :]:
            self._marker(later).unlink(missing_ok=True)

    def bind(self, view: ViewSpec) -> None:
        """Note the definition that the rows are read by."""
        write_atomically(self._marker(VIEW), json.dumps(_described(view), indent=1) + "\n")

    def refuse_others(self, view: ViewSpec) -> None:
        """Hold a later step to the definition that the rows were read by; an earlier release noted none.

        Raises:
            BadInput: the definition has changed since; names what.
        """
        marker = self._marker(VIEW)
        if not marker.is_file():
            return
        before = {f"definition of {view.name}": json.loads(marker.read_text(encoding="utf-8"))}
        now = {f"definition of {view.name}": _described(view)}
        begin = f"`data-pipeline ingest --run-key {self.run_key}`"
        refuse_others(f"run {self.run_key!r}", before, now, f"Begin again with {begin}, or set it back")

    def finish(self, step: str, outcome: dict[str, Any]) -> None:
        """Note that `step` is done, and what it found."""
        write_atomically(self._marker(step), json.dumps(outcome, default=str, indent=1) + "\n")

    def did(self, step: str) -> bool:
        """Whether `step` is done."""
        return self._marker(step).is_file()

    def outcome(self, step: str) -> dict[str, Any]:
        """What `step` found.

        Raises:
            StepMissing: it was not run.
        """
        if not self.did(step):
            raise _missing(step, self.folder, self.run_key)
        found: dict[str, Any] = json.loads(self._marker(step).read_text(encoding="utf-8"))
        return found

    def details(self, step: str) -> Path:
        """The file that has all of what `step` found."""
        return self._marker(step)

    def _marker(self, step: str) -> Path:
        return self.folder / f"{step}.json"


def _described(view: ViewSpec) -> dict[str, Any]:
    """What the three steps go by: the TTL is none of it."""
    return {
        "join_keys": view.join_keys,
        "features": view.features,
        "timestamp": view.timestamp,
        "created": view.created,
    }


def runs_after(step: str, scratch: Path, run_key: str, views: list[str]) -> list[ViewRun]:
    """The views with which a run was begun, `step` done for each of them.

    Raises:
        StepMissing: there is none, or `step` has failed for one: the others would be published without it.
    """
    begun = [run for run in (ViewRun(scratch, view, run_key) for view in views) if run.folder.is_dir()]
    undone = [run.view for run in begun if not run.did(step)]
    if not begun or len(undone) == len(begun):
        raise _missing(step, scratch, run_key)
    if undone:
        raise StepMissing(
            f"run {run_key!r} was begun with {', '.join(undone)} too, of which it has no output of {step}",
            fix=f"Run `data-pipeline {step} --run-key {run_key}` again, or take another run key",
        )
    return begun


def _missing(step: str, place: Path, run_key: str) -> StepMissing:
    return StepMissing(f"{place} has no output of {step}", fix=f"Run `data-pipeline {step} --run-key {run_key}` first")
