"""The command `forget`: what would be removed where, or its removal."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from data_pipeline.forgetting.copies import (
    forget_copies,
    forget_json,
    forget_reports,
    forget_run,
    other_runs,
    own_runs,
)
from data_pipeline.forgetting.entity_key import (
    entity_columns,
    parse_key,
    source_columns,
    stored_columns,
    typed,
)
from data_pipeline.forgetting.forgotten_keys import ForgottenKeys, put_on_list, take_off_list
from data_pipeline.forgetting.held_runs import OWN, HeldRuns
from data_pipeline.forgetting.offline_rows import forget_read_times, forget_staged, forget_stored
from data_pipeline.publishing.offline_files import publishing
from data_pipeline.publishing.read_times import ReadTimes
from data_pipeline.sources import SourceRules, written_sources
from twinserve.errors import BadInput
from twinserve.features.feast_repo.views import ViewSpec
from twinserve.files.locks import alone, one_at_a_time
from twinserve.settings import Settings

NOT_REACHED = (
    "the source: it still has the rows; ingest passes over them",
    "MLflow: models, and the golden rows, plots and reports logged with them",
    "prepared models below serving/, with their golden rows",
    "files that entity rows and labels were read from",
    "logs of requests, access and steps; traces",
    "figures in reports, watermarks and run records that count over all keys",
    "backups and snapshots of stores, disks and databases; what Redis has persisted until it next rewrites its files",
)


def forget(
    words: Sequence[str], view: str | None, settings: Settings, *, yes: bool, allow_again: bool = False
) -> dict[str, Any]:
    """Say what there is of a key; with `yes`, remove it. After a kill, the same call finishes.

    Args:
        words: `JOIN_KEY=VALUE`.
        view: the only feature view concerned.

    Returns:
        `found`, `removed` or not, `rows` by place, `runs` by kind, `begin_again`: the commands for those that were
        under way, and `not_reached`. The key's value is not in it: results are kept.

    Raises:
        BadInput: no such join keys or view, a value of another type, a damaged file.
        TransientError: a step is at work on the same files, or the online store can't be reached.
    """
    from twinserve.features.feast_repo.definitions import load_views

    views = load_views(settings)
    if view is not None and view not in [each.name for each in views]:
        raise BadInput(f"no feature view {view!r}", fix=f"Choose one of {', '.join(each.name for each in views)}")
    texts, concerned = parse_key(words, [each for each in views if view in (None, each.name)])
    keys = [typed(texts, each) for each in concerned]  # one view may have a number, another its text
    if allow_again:
        was = take_off_list(settings.home, keys, view)
        note = "`data-pipeline ingest --full` reads its rows again; else only those that come from now on"
        on_list = {"was_on_the_list": was, "on_the_list": False}
        return {"join_keys": sorted(texts), "view": view, **on_list, "note": note if was else ""}
    # a view that sources.yaml lacks, or has too much, is no reason to keep a key
    rules = written_sources(settings.feature_repo)
    runs = HeldRuns.among(run for each in views for run in own_runs(settings.home, each.name))
    task = _Task(settings, texts, concerned, rules, view, yes, runs)
    if yes:
        put_on_list(settings.home, keys, view)
        with _nobody_else(settings, concerned):
            rows, unreached = task.run()
    else:
        rows, unreached = task.run()
    known = ForgottenKeys.read(settings.home)
    outcome = {
        "join_keys": sorted(texts),
        "view": view,
        "views": [each.name for each in concerned],
        "found": any(rows.values()),
        "removed": yes,
        "rows": dict(rows),
        "runs": dict(task.runs.found),
        "begin_again": task.runs.commands(),
        "on_the_list": {known.entry(values, view) for values in keys} <= set(known.entries),
        "not_reached": [*unreached, *NOT_REACHED],
    }
    _show(outcome, task.runs)
    return outcome


@contextmanager
def _nobody_else(settings: Settings, views: Sequence[ViewSpec]) -> Iterator[None]:
    """Every file that may hold the key is ours; a step that began before the key was on the list is told of."""
    home = settings.home
    with ExitStack() as held:
        for view in views:
            held.enter_context(publishing(home / "locks" / f"publish-{view.name}"))
            for run in own_runs(home, view.name):
                held.enter_context(run.alone("forget"))
        for folder, lock in other_runs(home).items():
            held.enter_context(alone(lock, f"forget in {folder}"))
        held.enter_context(one_at_a_time(home / "locks" / "materialize"))
        yield


@dataclass(frozen=True)
class _Task:
    """One key in all places."""

    settings: Settings
    texts: Mapping[str, str]
    views: Sequence[ViewSpec]
    rules: Mapping[str, SourceRules]
    view: str | None
    remove: bool
    runs: HeldRuns

    def run(self) -> tuple[Counter[str], list[str]]:
        """Rows by place, and what could not be reached; the online store comes last, when nothing can fill it anew."""
        from twinserve.features.materialization.forget_online import key_aliases

        rows = Counter[str]()
        for view in self.views:
            self._of_view(view, rows)
        stored = [stored_columns(self.texts, view) for view in self.views]
        rows["staged for the online store"] = forget_staged(self.settings.home, stored, remove=self.remove)
        aliases = key_aliases(self.settings)
        ways = [way for view in self.views for way in entity_columns(self.texts, view, aliases)]
        unreached = ["training runs, batch runs and predictions: their rows are of no one view"] if self.view else []
        if self.view is None:
            for folder in other_runs(self.settings.home):
                name = f"{folder.parent.name.split('_')[0]} runs"
                found = forget_copies(folder, ways, remove=self.remove)
                rows[name] += found
                if found:
                    self.runs.note(name, folder.name)
            rows["predictions"] = forget_copies(self.settings.home / "predictions", ways, remove=self.remove)
        return rows, unreached + self._online(rows)

    def _of_view(self, view: ViewSpec, rows: Counter[str]) -> None:
        home, remove = self.settings.home, self.remove
        stored = stored_columns(self.texts, view)
        source = source_columns(self.texts, view, self.rules[view.name].rename if view.name in self.rules else {})
        times = ReadTimes(home / "read_times" / view.name)
        rows["times of reading"] += forget_read_times(view, times, stored, remove=remove)
        rows["offline store"] += forget_stored(view, stored, remove=remove)
        rows["quarantine"] += forget_json(home / "quarantine" / view.name, "original", source, remove=remove)
        rows["corrections"] += forget_json(home / "corrections" / view.name, "row", [stored], remove=remove)
        rows["reports (whole pages)"] += forget_reports(home / "reports" / view.name, [*source, stored], remove=remove)
        for run in own_runs(home, view.name):
            found = forget_run(run, stored, source, remove=remove)
            rows[OWN] += found
            if found:
                self.runs.note_own(run)

    def _online(self, rows: Counter[str]) -> list[str]:
        from twinserve.embedded.redis import leased_redis
        from twinserve.features.materialization.forget_online import forget_online

        with leased_redis(self.settings) as url:
            online = forget_online(self.settings, url, self.texts, self.view, delete=self.remove)
        rows["online store (keys)"] = online.hashes
        return [online.unreached] if online.unreached else []


def _show(outcome: Mapping[str, Any], runs: HeldRuns) -> None:
    keys = ", ".join(outcome["join_keys"])
    if not outcome["found"]:
        lines = [f"Nothing is stored of this {keys}."]
    else:
        lines = ["Removed:" if outcome["removed"] else "Would be removed with --yes:"]
        lines += [f"  {rows:>10,}  {place}{runs.named(place)}" for place, rows in outcome["rows"].items() if rows]
    if outcome["begin_again"]:
        when = "were under way and have no rows now" if outcome["removed"] else "are under way and would lose all rows"
        lines += [f"Runs that {when}; if they are still wanted, with the options that they had:"]
        lines += [f"  {command}" for command in outcome["begin_again"]]
    lines += ["Not reached:", *(f"  - {place}" for place in outcome["not_reached"])]
    sys.stdout.write("\n".join(lines) + "\n")
