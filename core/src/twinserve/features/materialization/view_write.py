"""The latest rows of one view to Redis: collected, staged, written, and after a kill finished."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import duckdb
import redis

from twinserve.errors import TransientError
from twinserve.features.feast_repo.online_view import OnlineView
from twinserve.features.materialization.redis_writer import Note, Told, write_rows
from twinserve.features.materialization.staged_rows import COUNT, LeftOut, StagedRows, stage_rows
from twinserve.features.offline_store.latest_rows import latest_sql
from twinserve.features.stored_files.duck import DuckLimits, memory_share
from twinserve.features.stored_files.feature_rows import FeatureFiles
from twinserve.features.stored_files.sql import parquet_relation, quoted
from twinserve.settings import safe_name
from twinserve.steps.ledger import Ledger, LedgerMismatch

logger = logging.getLogger(__name__)
MEMORY = 256 << 20
THREADS = 4
TRIES = 3


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
        resumed: keys before them, which an earlier run had been through when it ended.
        seconds: from the first chunk to the last.
        told: what became of the keys.
        rows: where the stored rows went.
    """

    keys: int = 0
    resumed: int = 0
    seconds: float = 0.0
    told: Told = field(default_factory=Told)
    rows: Ledger = field(default_factory=lambda: Ledger(0, {"keys": 0}))

    @property
    def ledger(self) -> Ledger:
        """Where the keys went."""
        went = {"written": self.told.written, "resumed": self.resumed}
        ignored = {"as_stored": self.told.as_stored, "newer_online": self.told.newer_online}
        return Ledger(self.keys + self.resumed, went, ignored)

    def __add__(self, other: Written) -> Written:
        return Written(
            self.keys + other.keys,
            self.resumed + other.resumed,
            self.seconds + other.seconds,
            self.told.and_of(other.told),
            self.rows + other.rows,
        )


def staging_file(folder: Path, view: OnlineView) -> Path:
    """Where the rows of a view are staged."""
    return folder / f"{safe_name(f'{view.project}.{view.name}'[:200])}.parquet"


def collect(
    path: Path,
    request: str,
    view: OnlineView,
    paths: Sequence[Path],
    when: str,
    *,
    files: dict[str, str],
    otherwise: str,
    stored: Callable[[], Sequence[Path]] = tuple,
    memory: int | None = None,
) -> StagedRows:
    """Stage the latest row of each key. A row without a key or an event time is no row of anybody, and left out.

    A file that is replaced meanwhile, as by a push, may be counted as the one and read as the other: then all is
    collected anew.

    Args:
        paths: files with the stored rows.
        when: SQL condition on their event time.
        otherwise: the name of the rule by which rows of other times are left out.
        stored: gives all files of the view, see `FeatureFiles`.
        memory: bytes that DuckDB may take; if None, `MEMORY`, or its usual share for rows too wide for that.

    Raises:
        BadInput: a file is damaged or lacks a key or the event time, without which it would be read as rows of nobody.
        LedgerMismatch: not every row of the files is accounted for.
        TransientError: files were replaced time and again.
    """
    for _ in range(TRIES):
        read = FeatureFiles(view.name, list(paths), [*view.stored_keys, view.timestamp], {}, stored)
        for column in view.stored_features:
            read.first_having(column)
        left_out = LeftOut(_left_out_sql(view, read.files, when), otherwise)
        staged = _staged(path, request, view, _latest(view, read, when), files, read.rows, left_out, memory)
        try:
            staged.ledger().balanced(f"materialize of {view.name}")
        except LedgerMismatch:
            staged.discard()
            if not read.replaced():
                raise
        else:
            return staged
    raise TransientError(f"files of {view.name} were replaced while they were read", fix="Run the command again")


def _latest(view: OnlineView, stored: FeatureFiles, when: str) -> str:
    where = " AND ".join([f"({when})", *(f"{quoted(key)} IS NOT NULL" for key in view.stored_keys)])
    relation, keys, features = parquet_relation([str(f) for f in stored.files]), view.stored_keys, view.stored_features
    times = (view.timestamp, view.created)
    return latest_sql(relation, keys, features, *times, where, count=COUNT, deleted=stored.has_deleted)


def _left_out_sql(view: OnlineView, paths: Sequence[Path], when: str) -> str:
    """By file, as `LeftOut` says. The condition lets DuckDB pass over what holds no such row by its statistics."""
    keyless = " OR ".join(f"{quoted(key)} IS NULL" for key in view.stored_keys) or "false"
    time = f"{quoted(view.timestamp)} IS NULL"
    return (
        f"SELECT filename, count(*) FILTER (WHERE NOT ({when})), "
        f"count(*) FILTER (WHERE {time} OR (({when}) AND ({keyless}))) "
        f"FROM {parquet_relation([str(path) for path in paths])} "
        f"WHERE NOT ({when}) OR {time} OR {keyless} GROUP BY filename"
    )


def _staged(
    path: Path,
    request: str,
    view: OnlineView,
    sql: str,
    files: dict[str, str],
    read: int,
    left_out: LeftOut,
    memory: int | None,
) -> StagedRows:
    try:
        return stage_rows(path, request, sql, duck_limits(path, memory or MEMORY), files, read, left_out)
    except TransientError as error:
        if memory or not isinstance(error.__cause__, duckdb.OutOfMemoryException):
            raise
    logger.info("the rows of %s need more than %s MB", view.name, MEMORY >> 20)
    return stage_rows(path, request, sql, duck_limits(path, memory_share()), files, read, left_out)


def duck_limits(path: Path, memory: int = MEMORY) -> DuckLimits:
    """For rows that are staged in `path`: they spill beside it."""
    spill = path.parent / f"{path.stem}.spill"
    shutil.rmtree(spill, ignore_errors=True)  # a killed run's
    return DuckLimits(memory=memory, spill=spill, threads=min(THREADS, os.cpu_count() or 1), ordered=False)


def write_staged(client: redis.Redis, view: OnlineView, staged: StagedRows, bar: Bar) -> Written:
    """Write what this Redis has not been given yet; remembers in it how far that is.

    Raises:
        LedgerMismatch: Redis has answered for more or fewer keys than were sent.
        TransientError: Redis is gone or full; the next run goes on from there.
    """
    note = progress_note(view, staged)
    done = min(note.rows(client), staged.rows)
    began = time.monotonic()
    with bar(staged.rows - done) as progress:
        told = write_rows(client, view, staged.batches(done), note, done, progress.update)
    written = Written(staged.rows - done, done, time.monotonic() - began, told, staged.ledger())
    written.ledger.balanced(f"materialize of {view.name}")
    return written


def finished(client: redis.Redis, view: OnlineView, staged: StagedRows) -> None:
    """Forget a run whose rows are written: first the file, so that they are not written again after a kill."""
    staged.discard()
    client.delete(progress_note(view, staged).key)


def progress_note(view: OnlineView, staged: StagedRows) -> Note:
    """Where and how the progress of a staged run is noted in Redis."""
    return Note(f"twinserve:materializing:{view.project}:{view.name}", staged.run)
