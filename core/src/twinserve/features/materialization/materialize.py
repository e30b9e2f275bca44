"""From the offline store to Redis: the latest row of each key, in Feast's own layout.

Incremental by what changed: each view's day files are remembered by size and modification time in a hash beside
the features (so a flushed or replaced Redis is filled anew). A run reads the files that are new or changed,
however late their rows, and those of the look-back window; a file with rows ahead of our clock is read again until
their time has come. A row is written when Redis holds none for its key, or an older one, or another one of the same
event time: a correction, which Feast's own writer would skip. Where a file is gone or has lost rows, Redis's rows of
its times are compared with all that is stored, and those that nobody has any more are deleted. Rows are staged
below `TWINSERVE_HOME`: what a killed run left, the next one finishes first.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import redis

from twinserve.errors import BadInput, PermanentError, StepMissing, TransientError
from twinserve.features.feast_repo.declared import declared_view
from twinserve.features.feast_repo.definition_rules import collisions
from twinserve.features.feast_repo.feast_errors import feast_errors
from twinserve.features.feast_repo.online_definitions import remove_what_is_not_defined
from twinserve.features.feast_repo.online_view import OnlineView, online_view
from twinserve.features.feast_repo.store import open_store
from twinserve.features.materialization.batch_engine import is_plain, is_single_redis
from twinserve.features.materialization.day_files import DayFiles, is_recent
from twinserve.features.materialization.lost_rows import delete_lost_rows
from twinserve.features.materialization.lost_spans import Lost
from twinserve.features.materialization.staged_rows import StagedRows, staged_rows
from twinserve.features.materialization.view_write import (
    Progress,
    Written,
    collect,
    duck_limits,
    finished,
    staging_file,
    write_staged,
)
from twinserve.features.materialization.written_files import WrittenFiles
from twinserve.features.stored_files.deleted_rows import DELETED
from twinserve.features.stored_files.file_sizes import deletions_in
from twinserve.features.stored_files.source_files import local_path, parquet_in, source_path
from twinserve.features.stored_files.sql import quoted
from twinserve.files.locks import one_at_a_time
from twinserve.settings import Settings
from twinserve.steps.progress import RowProgress

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView

LOOKBACK = timedelta(days=1)
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ViewResult:
    """What one run did for one view.

    Attributes:
        keys: distinct keys that it went through.
        written: keys whose row in Redis was set; the others held the same row, or a newer one.
        resumed: keys that an earlier run had been through when it was killed.
        removed: keys whose row in Redis the offline store no longer had; written too, where it had an older one.
        deleted: of `written`, keys whose latest row says that they were deleted.
        ledger: where `rows` of the files that were read went, and where their `keys` did; None where Feast wrote, which
            counts nothing.
        rows_per_second: of `keys`, while they were written; 0 where none was.
    """

    view: str
    files_read: int
    files_unchanged: int
    keys: int
    written: int
    resumed: int = 0
    rows_per_second: int = 0
    removed: int = 0
    deleted: int = 0
    ledger: dict[str, Any] | None = None


def materialize(
    settings: Settings, redis_url: str, lookback: timedelta | None = None, *, full: bool = False
) -> list[ViewResult]:
    """Bring the online store up to now, for every feature view that has `online=True`.

    What our writer does not do (transformations, another online store than one Redis) goes through Feast's own. A view
    that can't be written keeps no other from it: its error is raised when all have had their turn.

    Args:
        lookback: day files not older than this are read even when they look unchanged; `LOOKBACK` if None.
        full: read all files, and delete from Redis every row that the offline store no longer has.

    Raises:
        StepMissing: nothing is applied yet, or a view has no data.
        LedgerMismatch: rows that were read, or keys that were sent, are not all accounted for.
        BadInput: a data file is damaged, or has other columns or types than its view; two features share a field; with
            `full`, Feast's own engine writes a view, which compares nothing.
        TransientError: Redis or the registry can't be reached, or the disk is full.
    """
    now = datetime.now(UTC)
    store = open_store(settings, redis_url)
    with feast_errors():
        registered = store.list_feature_views()
    if not registered:
        raise StepMissing("no feature view is registered", fix="Run `data-pipeline apply` first")
    views = [view for view in registered if view.online and view.enabled]  # as Feast chooses
    if found := collisions(declared_view(view) for view in views):
        raise BadInput("; ".join(found), fix="Change the definitions, then apply them again")
    ours = {view.name for view in views if _is_ours(store, view)}
    if full and len(ours) < len(views):
        raise _incomparable(view.name for view in views if view.name not in ours)
    since = now - (LOOKBACK if lookback is None else lookback)
    one = one_at_a_time(settings.home / "locks" / "materialize")
    with one, feast_errors(), redis.Redis.from_url(redis_url, socket_timeout=30) as client:
        remove_what_is_not_defined(store)
        folder = settings.home / "materialize"
        return _each(
            views,
            lambda view: (
                _OneView(store, client, view, folder, now, full=full).run(since)
                if view.name in ours
                else _by_feast(store, view, now)
            ),
        )


def _each(views: list[FeatureView], written: Callable[[FeatureView], ViewResult]) -> list[ViewResult]:
    """One view's bad file keeps no other view from its new rows; the first error is raised, others are logged."""
    results: list[ViewResult] = []
    refused: list[PermanentError] = []
    for view in views:
        try:
            results.append(written(view))
        except PermanentError as error:
            refused.append(error)
        except TransientError:  # which is all that is raised: nothing more can be written now
            _log(refused)
            raise
    _log(refused[1:])
    if refused and results:
        logger.warning("the other feature views are up to date: %s", ", ".join(result.view for result in results))
    if refused:
        raise refused[0]
    return results


def _log(errors: list[PermanentError]) -> None:
    for error in errors:
        logger.error("%s", error)


def _is_ours(store: FeatureStore, view: FeatureView) -> bool:
    return is_plain(view) and is_single_redis(store._get_provider().online_store, store.config)


def _incomparable(views: Iterable[str]) -> BadInput:
    return BadInput(
        f"--full can't compare {', '.join(views)} with the offline store: Feast's own engine writes these, since the "
        "online store is not one Redis, or the view has a transformation",
        fix="Empty the online store, and materialize without --full",
    )


def _by_feast(store: FeatureStore, view: FeatureView, now: datetime) -> ViewResult:
    import contextlib
    import io

    try:
        _heed_deletions(store, view)
        with contextlib.redirect_stdout(io.StringIO()):  # Feast prints; our standard output ends in JSON
            store.materialize(_start(view, now), now, [view.name])
    except ValueError as error:  # Arrow's errors are such
        raise BadInput(
            f"feature view {view.name} can't be written by Feast's own engine: {error}",
            fix="Correct its data, or the view",
        ) from error
    return ViewResult(view.name, 0, 0, 0, 0, ledger=None)


def _heed_deletions(store: FeatureStore, view: FeatureView) -> None:
    """Feast's engine writes rows, and takes none away: keys that were deleted are refused, rows that were are said."""
    path, erased = local_path(view.batch_source, store.config.repo_path), False
    for file in parquet_in(path) if path is not None else ():
        footer = pq.read_metadata(file)
        if DELETED in footer.schema.names:
            raise BadInput(
                f"keys of {view.name} were deleted, and Feast's own engine, which writes this online store, deletes "
                "none",
                fix="Use one Redis as the online store; or drop `deleted` from sources.yaml and the view's day files, "
                "and read all rows again",
            )
        erased |= deletions_in(footer) > 0
    if erased:
        logger.warning(
            "feature view %s: rows were deleted from its files, and Feast's own engine, which writes this view, takes "
            "none out of the online store: a key that was erased stays there until `data-pipeline forget` takes it "
            "out, or the online store is emptied and filled anew",
            view.name,
        )


def _start(view: FeatureView, now: datetime) -> datetime:
    return max((end for _, end in view.materialization_intervals), default=now - (view.ttl or timedelta(days=365)))


class _OneView:
    """One view's way to Redis."""

    def __init__(
        self, store: FeatureStore, client: redis.Redis, view: FeatureView, folder: Path, now: datetime, *, full: bool
    ) -> None:
        self._store, self._client, self._feast_view, self._now, self._full = store, client, view, now, full
        self._view: OnlineView = online_view(view, store.config)
        self._stored = DayFiles(source_path(view.batch_source, store.config.repo_path), self._view.timestamp)
        self._memory = WrittenFiles(client, self._view, self._stored)
        self._file = staging_file(folder, self._view)

    def run(self, since: datetime) -> ViewResult:
        """Finish what was begun, then write what is new, or of a day not before `since`."""
        files = self._stored.states()
        if not files:
            raise StepMissing(
                f"feature view {self._view.name} has no data in {self._stored.folder}",
                fix="Run the DAG db_to_offline_store",
            )
        lost = self._lost(files)
        self._count_rows(files)
        begun = staged_rows(self._file, self._view.digest)
        total = self._finish(begun) if begun else Written()
        lost |= self._lost(files)  # since these rows were collected
        seen = begun.files if begun else {}
        known = self._memory.known()
        due = {
            name: state
            for name, state in files.items()
            if lost or known.get(name) != state or (is_recent(name, since) and not _same(seen.get(name), state))
        }
        # all of a folder or none: a pushed row may tie with a published one in the file beside it
        folders = {Path(name).parent for name in due}
        due = {
            name: self._stored.with_size(name, state) for name, state in files.items() if Path(name).parent in folders
        }
        self._memory.forget(known.keys() - files.keys())
        removed = 0
        if due:
            staged = self._collect(due, files)
            removed = self._remove(staged, lost) if lost else 0
            total += self._finish(staged)
            self._memory.note_lost(Lost())
        self._tell_feast()
        return replace(self._result(len(due), len(files) - len(due), total), removed=removed)

    def _lost(self, files: dict[str, str]) -> Lost:
        """Where Redis may hold rows that the offline store no longer has; noted, since a kill may come between."""
        lost = self._memory.lost(files) | Lost(everything=self._full)
        if lost:
            self._memory.note_lost(lost)
        return lost

    def _remove(self, staged: StagedRows, lost: Lost) -> int:
        limits = duck_limits(self._file)
        return delete_lost_rows(self._client, self._view, staged, lost, self._memory.latest(), limits)

    def _count_rows(self, files: dict[str, str]) -> None:
        """Of files that an earlier release has noted, which did not count: else nobody would see them grow shorter."""
        known = self._memory.known()
        names = [name for name in self._memory.uncounted() if files.get(name) == known.get(name)]
        if names:
            self._memory.remember({name: self._stored.with_size(name, files[name]) for name in names})

    def _tell_feast(self) -> None:
        """Feast's tools show when a view was materialized."""
        start = _start(self._feast_view, self._now)
        self._store.registry.apply_materialization(self._feast_view, self._store.project, start, self._now)

    def _collect(self, due: dict[str, str], every: Iterable[str]) -> StagedRows:
        paths = [self._stored.folder / name for name in due]
        until_now = f"CAST({quoted(self._view.timestamp)} AS TIMESTAMPTZ) <= '{self._now.isoformat()}'"
        return collect(
            self._file,
            self._view.digest,
            self._view,
            paths,
            until_now,
            files=due,
            otherwise="ahead",
            stored=lambda: [self._stored.folder / name for name in every],
        )

    def _finish(self, staged: StagedRows) -> Written:
        files = {name: self._stored.as_read(name, text) for name, text in staged.files.items()}
        self._memory.begin(files, staged.latest(self._view.timestamp))
        done = write_staged(self._client, self._view, staged, self._bar)
        later = {str(Path(name).relative_to(self._stored.folder)) for name in staged.unfinished}
        self._memory.remember(files, later)
        finished(self._client, self._view, staged)
        return done

    @contextmanager
    def _bar(self, rows: int) -> Iterator[Progress]:
        with RowProgress(f"materialize {self._view.name}", rows) as progress:
            yield _Bar(progress)

    def _result(self, read: int, unchanged: int, total: Written) -> ViewResult:
        rate = round(total.keys / max(total.seconds, 1e-6)) if total.keys else 0
        ledger = {"rows": total.rows.to_dict(), "keys": total.ledger.to_dict()}
        name, told = self._feast_view.name, total.told
        return ViewResult(
            name, read, unchanged, total.keys, told.written, total.resumed, rate, deleted=told.deleted, ledger=ledger
        )


def _same(read: str | None, state: str) -> bool:
    return read is not None and read.partition(" ")[0] == state


class _Bar:
    def __init__(self, progress: RowProgress) -> None:
        self._progress = progress

    def update(self, rows: int) -> None:
        """Add rows."""
        self._progress.advance(rows)
