"""What the steps of one run are given: views, rules, folders. Built for `cli` alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from data_pipeline.forgetting.forgotten_keys import ForgottenKeys
from data_pipeline.reading.watermarks import Watermarks
from data_pipeline.run_folder import ViewRun, runs_after
from data_pipeline.sources import SourceRules, load_sources
from twinserve.errors import BadInput
from twinserve.features.feast_repo.views import ViewSpec
from twinserve.settings import Settings, load_settings, safe_name

if TYPE_CHECKING:
    from data_pipeline.validate import Places

Chosen = list[tuple[ViewSpec, SourceRules]]


@dataclass(frozen=True)
class Workplace:
    """Settings, definitions and rules of one run."""

    settings: Settings
    run_key: str
    views: list[ViewSpec]
    rules: dict[str, SourceRules]

    @classmethod
    def open(cls, run_key: str) -> Self:
        """Read the environment and the feature repo.

        Raises:
            BadInput, StepMissing: a setting, the definitions or `sources.yaml` are missing or wrong.
        """
        from twinserve.features.feast_repo.definitions import load_views

        settings = load_settings()
        safe_name(run_key)
        views = load_views(settings)
        return cls(settings, run_key, views, load_sources(settings.feature_repo, views))

    def chosen(self, name: str | None) -> Chosen:
        """The view of this name, or all.

        Raises:
            BadInput: no such view.
        """
        names = [view.name for view in self.views]
        if name is not None and name not in names:
            raise BadInput(f"no feature view {name!r}", fix=f"Choose one of {', '.join(names)}")
        return [self._as_read(view) for view in self.views if name in (None, view.name)]

    def place(self, rules: SourceRules, source: str | None) -> str:
        """Where the rows of a view come from: `source` if it is given, else its `file`, else the source database."""
        if source:
            return source
        return str(self.settings.feature_repo / rules.file) if rules.file else self.settings.source_database

    def after(self, step: str) -> Chosen:
        """The views for which `step` is done in this run; `StepMissing` if there is none."""
        names = [view.name for view in self.views]
        done = {run.view for run in runs_after(step, self._scratch, self.run_key, names)}
        return [self._as_read(view) for view in self.views if view.name in done]

    def _as_read(self, view: ViewSpec) -> tuple[ViewSpec, SourceRules]:
        rules = self.rules[view.name]
        return rules.described(view), rules

    @contextmanager
    def alone(self, step: str, views: Chosen) -> Iterator[None]:
        """A block in which no other step works on these views of this run; all of them are free, or nothing begins.

        Raises:
            TransientError: another step does; names it.
        """
        with ExitStack() as held:
            for view, _ in views:
                held.enter_context(self.run(view).alone(step))
            yield

    def run(self, view: ViewSpec) -> ViewRun:
        """The run's folder for `view`."""
        return ViewRun(self._scratch, view.name, self.run_key)

    @property
    def watermarks(self) -> Watermarks:
        """How far the sources were read."""
        return Watermarks(self.settings.home / "watermarks")

    @property
    def forgotten(self) -> ForgottenKeys:
        """The keys whose rows are not to come back."""
        return ForgottenKeys.read(self.settings.home)

    def places(self, view: ViewSpec) -> Places:
        """Where the results for `view` go."""
        from data_pipeline.publishing.corrections import CorrectionLog
        from data_pipeline.publishing.read_times import ReadTimes
        from data_pipeline.quarantine import Quarantine
        from data_pipeline.validate import Places

        home = self.settings.home
        return Places(
            quarantine=Quarantine(home / "quarantine" / view.name),
            report=home / "reports" / view.name / f"{safe_name(self.run_key)}.html",
            lock=home / "locks" / f"publish-{view.name}",
            corrections=CorrectionLog(home / "corrections" / view.name),
            read_times=ReadTimes(home / "read_times" / view.name),
        )

    @property
    def _scratch(self) -> Path:
        return self.settings.scratch("data_pipeline", self.run_key)
