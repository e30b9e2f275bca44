"""The latest rows of one view to Redis: collected, staged, written, and after a kill finished."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import duckdb
import redis

from twinserve.errors import TransientError
from twinserve.features.duck import DuckLimits, memory_share
from twinserve.features.feature_rows import FeatureFiles
from twinserve.features.latest_rows import latest_sql
from twinserve.features.online_view import OnlineView
from twinserve.features.point_in_time import quoted
from twinserve.features.redis_writer import Note, write_rows
from twinserve.features.staged_rows import StagedRows, stage_rows
from twinserve.settings import safe_name

logger = logging.getLogger(__name__)
MEMORY = 256 << 20
THREADS = 4


class Progress(Protocol):
    """What counts rows as they are written: tqdm's bars do."""

    def update(self, rows: int) -> object:
        """Add rows."""


Bar = Callable[[int], AbstractContextManager[Progress]]


@dataclass(frozen=True)
class Written:
    """What one run did.

    Attributes:
        keys: keys that it went through.
        written: those whose row in Redis it set; the others held the same row, or a newer one.
        resumed: keys before them, which an earlier run had been through when it ended.
        seconds: from the first chunk to the last.
    """

    keys: int = 0
    written: int = 0
    resumed: int = 0
    seconds: float = 0.0

    def __add__(self, other: Written) -> Written:
        return Written(
            self.keys + other.keys,
            self.written + other.written,
            self.resumed + other.resumed,
            self.seconds + other.seconds,
        )


def staging_file(folder: Path, view: OnlineView) -> Path:
    """Where the rows of a view are staged."""
    return folder / f"{safe_name(f'{view.project}.{view.name}'[:200])}.parquet"


def refuse_keyless(view: OnlineView, files: Iterable[Path]) -> None:
    """A file without a key or the event time would be read as rows of nobody, and left out without a word.

    Raises:
        BadInput: a file is damaged or lacks one of them; names it.
    """
    FeatureFiles(view.name, list(files), [*view.stored_keys, view.timestamp], {})


def collect(
    path: Path,
    request: str,
    view: OnlineView,
    relation: str,
    where: str,
    *,
    files: dict[str, str],
    memory: int | None = None,
    later_sql: str | None = None,
) -> StagedRows:
    """Stage the latest row of each key. A row without a key is no row of anybody, and left out.

    Args:
        relation: SQL of the stored rows.
        where: SQL condition on them.
        memory: bytes that DuckDB may take; if None, `MEMORY`, or its usual share for rows too wide for that.
    """
    conditions = [f"({where})", *(f"{quoted(key)} IS NOT NULL" for key in view.stored_keys)]
    sql = latest_sql(
        relation, view.stored_keys, view.stored_features, view.timestamp, view.created, " AND ".join(conditions)
    )
    try:
        return stage_rows(path, request, sql, duck_limits(path, memory or MEMORY), files, later_sql)
    except TransientError as error:
        if memory or not isinstance(error.__cause__, duckdb.OutOfMemoryException):
            raise
    logger.info("the rows of %s need more than %s MB", view.name, MEMORY >> 20)
    return stage_rows(path, request, sql, duck_limits(path, memory_share()), files, later_sql)


def duck_limits(path: Path, memory: int = MEMORY) -> DuckLimits:
    """For rows that are staged in `path`: they spill beside it."""
    spill = path.parent / f"{path.stem}.spill"
    shutil.rmtree(spill, ignore_errors=True)  # a killed run's
    return DuckLimits(memory=memory, spill=spill, threads=min(THREADS, os.cpu_count() or 1), ordered=False)


def write_staged(client: redis.Redis, view: OnlineView, staged: StagedRows, bar: Bar) -> Written:
    """Write what this Redis has not been given yet; remembers in it how far that is.

    Raises:
        TransientError: Redis is gone or full; the next run goes on from there.
    """
    note = progress_note(view, staged)
    done = min(note.rows(client), staged.rows)
    began = time.monotonic()
    with bar(staged.rows - done) as progress:
        written = write_rows(client, view, staged.batches(done), note, done, progress.update)
    return Written(staged.rows - done, written, done, time.monotonic() - began)


def finished(client: redis.Redis, view: OnlineView, staged: StagedRows) -> None:
    """Forget a run whose rows are written: first the file, so that they are not written again after a kill."""
    staged.discard()
    client.delete(progress_note(view, staged).key)


def progress_note(view: OnlineView, staged: StagedRows) -> Note:
    """Where and how the progress of a staged run is noted in Redis."""
    return Note(f"twinserve:materializing:{view.project}:{view.name}", staged.run)
