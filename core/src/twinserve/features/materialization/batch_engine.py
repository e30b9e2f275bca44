"""Feast's batch engine for views that are columns of Parquet files, to a Redis: what `feast materialize` runs.

Feast's meaning of the interval is kept: the latest row of each key with an event time from its start to its end, both
included. What else Feast can do (transformations, aggregations, stream views, other online and offline stores, views
written back to the offline store) Feast's own local engine does, unchanged.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import redis
from feast import BatchFeatureView, FeatureView, FileSource
from feast.data_format import ParquetFormat
from feast.infra.common.materialization_job import MaterializationJobStatus, MaterializationTask
from feast.infra.compute_engines.local.compute import LocalComputeEngine, LocalComputeEngineConfig
from feast.infra.compute_engines.local.job import LocalMaterializationJob
from feast.infra.online_stores.redis import RedisOnlineStore, RedisType
from feast.infra.registry.base_registry import BaseRegistry

from twinserve.errors import BadInput
from twinserve.features.feast_repo.feast_errors import feast_errors
from twinserve.features.feast_repo.online_definitions import has_versions
from twinserve.features.feast_repo.online_view import OnlineView, online_view
from twinserve.features.materialization.day_files import DayFiles, signature
from twinserve.features.materialization.staged_rows import StagedRows, staged_rows
from twinserve.features.materialization.view_write import Progress, collect, finished, staging_file, write_staged
from twinserve.features.materialization.written_files import WrittenFiles
from twinserve.features.redis.unknown_fields import UnknownFields
from twinserve.features.redis.written_fields import WrittenFields, fields_by_view
from twinserve.features.stored_files.source_files import Span, files_touching, parquet_files, source_path
from twinserve.features.stored_files.sql import quoted
from twinserve.files.locks import one_at_a_time
from twinserve.values.times import as_micros


class RedisBatchEngineConfig(LocalComputeEngineConfig):  # type: ignore[misc]
    """`batch_engine:` of `feature_store.yaml`."""

    type: str = "twinserve.features.batch_engine.RedisBatchEngine"

    staging_path: str | None = None
    """Folder for rows on their way; what a killed run leaves there the next one finishes. A temporary one if unset."""

    memory_mb: int | None = None
    """Megabytes that DuckDB may take before it spills to the staging folder; as few as will do if unset."""


class RedisBatchEngine(LocalComputeEngine):  # type: ignore[misc]
    """Parquet to Redis in bulk; anything else as Feast does it."""

    def __init__(self, staging_path: str | None = None, memory_mb: int | None = None, **feast: Any) -> None:
        super().__init__(**feast)
        self._staging = Path(staging_path) if staging_path else None
        self._memory = memory_mb << 20 if memory_mb else None

    def _materialize_one(
        self, registry: BaseRegistry, task: MaterializationTask, **feast: Any
    ) -> LocalMaterializationJob:
        """One view over one interval; the job carries the error, which Feast raises."""
        job = f"{task.feature_view.name}-{task.start_time}-{task.end_time}"
        ours = is_written_here(self, task)
        try:
            with feast_errors():
                self._remove_old_fields(registry, task)
                if ours:
                    self._write(task)
        except Exception as error:
            return LocalMaterializationJob(job_id=job, status=MaterializationJobStatus.ERROR, error=error)
        if not ours:
            return super()._materialize_one(registry, task, **feast)
        return LocalMaterializationJob(job_id=job, status=MaterializationJobStatus.SUCCEEDED)

    def _remove_old_fields(self, registry: BaseRegistry, task: MaterializationTask) -> None:
        """Of features that the view no longer has: they would look as new as what is written now."""
        if isinstance(self.online_store, RedisOnlineStore):
            client = self.online_store._get_client(self.repo_config.online_store)
            views = fields_by_view([task.feature_view], self.repo_config)
            WrittenFields(client, task.project).bring_in_line(views, all_there_are=False)
            unknown = UnknownFields(client, task.project)
            if not (has_versions(self.repo_config) or unknown.sought):
                unknown.remove(registry.list_all_feature_views(task.project), self.repo_config)

    def _write(self, task: MaterializationTask) -> None:
        view = online_view(task.feature_view, self.repo_config)
        client: redis.Redis = self.online_store._get_client(self.repo_config.online_store)
        folder = self._staging or _temporary_folder()
        file = staging_file(folder / _digest(self.repo_config.online_store.connection_string), view)
        with one_at_a_time(file.with_suffix(".lock")):
            rows = self._request(file, view, task)
            written = self._written(client, view, task)
            begun = staged_rows(file)
            if begun and begun.request.startswith(view.digest) and _unchanged(begun.files):
                _finish(client, view, begun, task, written)
            if begun is None or begun.request != rows.request:
                _finish(client, view, rows.collected(self._memory), task, written)

    def _written(self, client: redis.Redis, view: OnlineView, task: MaterializationTask) -> WrittenFiles:
        """What `data-pipeline materialize` goes by, told that these files are written: what they lose from now on, it
        has to see."""
        stored = DayFiles(source_path(task.feature_view.batch_source, self.repo_config.repo_path), view.timestamp)
        written, states = WrittenFiles(client, view, stored), stored.states()
        written.note_lost(written.lost(states))
        written.begin({name: stored.with_size(name, state) for name, state in states.items()}, None)
        return written

    def _request(self, file: Path, view: OnlineView, task: MaterializationTask) -> _Request:
        root = source_path(task.feature_view.batch_source, self.repo_config.repo_path)
        span = Span(as_micros(task.start_time), as_micros(task.end_time))
        everything = parquet_files(root)
        # one file at least: its columns are what an empty answer is made of
        files = {str(path): signature(path) for path in files_touching(root, everything, span) or everything[-1:]}
        return _Request(file, view, root, files, task.start_time, task.end_time)


@dataclass(frozen=True)
class _Request:
    """What is asked for: the rows of these files below `root` from start to end, to be staged in `file`."""

    file: Path
    view: OnlineView
    root: Path
    files: dict[str, str]
    start: datetime
    end: datetime

    @property
    def request(self) -> str:
        """Begins with the digest of the definition: what is staged for the same one can be finished."""
        return f"{self.view.digest} {_digest(f'{self.files} {self.start} {self.end}')}"

    def collected(self, memory: int | None) -> StagedRows:
        at = f"CAST({quoted(self.view.timestamp)} AS TIMESTAMPTZ)"
        where = f"{at} BETWEEN '{self.start.isoformat()}' AND '{self.end.isoformat()}'"
        paths = [Path(file) for file in self.files]
        return collect(
            self.file,
            self.request,
            self.view,
            paths,
            where,
            files=self.files,
            otherwise="other_time",
            stored=lambda: parquet_files(self.root),
            memory=memory,
        )


def _unchanged(files: dict[str, str]) -> bool:
    """Else what was staged may hold rows that were deleted, or forgotten, since."""
    return all(Path(file).exists() and signature(Path(file)) == state for file, state in files.items())


def _finish(
    client: redis.Redis, view: OnlineView, staged: StagedRows, task: MaterializationTask, written: WrittenFiles
) -> None:
    written.begin({}, staged.latest(view.timestamp))
    write_staged(client, view, staged, lambda rows: _bar(task, rows))
    finished(client, view, staged)


def is_written_here(engine: RedisBatchEngine, task: MaterializationTask) -> bool:
    """Whether the task is of the kind that this engine does itself."""
    return task.only_latest and is_plain(task.feature_view) and is_single_redis(engine.online_store, engine.repo_config)


def is_plain(view: Any) -> bool:
    """Whether the view's features are columns of local Parquet files, and go to the online store only."""
    source = view.batch_source
    extras = ("feature_transformation", "aggregations", "source_views", "filter", "enable_validation", "offline")
    return (
        type(view) in (FeatureView, BatchFeatureView)
        and view.online
        and not any(getattr(view, extra, None) for extra in extras)
        and not any(field.vector_index for field in view.features)
        and isinstance(source, FileSource)
        and isinstance(source.file_format or ParquetFormat(), ParquetFormat)
        and urlsplit(source.path).scheme in ("", "file")
    )


def is_single_redis(online_store: Any, config: Any) -> bool:
    """Whether the online store is one Redis, neither a cluster nor behind Sentinel."""
    return type(online_store) is RedisOnlineStore and config.online_store.redis_type == RedisType.redis


def _bar(task: MaterializationTask, rows: int) -> AbstractContextManager[Progress]:
    return task.tqdm_builder(rows) if task.tqdm_builder else nullcontext(_Silent())


class _Silent:
    def update(self, rows: int) -> None:
        """Nobody looks."""


def _temporary_folder() -> Path:
    """Ours alone: in a folder that everybody may write to, somebody may have been there before us.

    Raises:
        BadInput: what is there belongs to another user, is a link, or is open to others.
    """
    folder = Path(tempfile.gettempdir()) / f"twinserve-staging-{os.getuid()}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise BadInput(
            f"{folder} is not a folder of ours alone: rows are not staged there",
            fix="Set staging_path of batch_engine in feature_store.yaml",
        )
    return folder


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
