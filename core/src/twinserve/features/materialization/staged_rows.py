"""The rows that a run has to write, in a Parquet file of their own: their number is known, and a kill costs little.

The file appears whole, with the run's number and what it was made from inside it. How far the run is, the online
store itself knows (`twinserve.features.materialization.redis_writer.Note`).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from twinserve.features.stored_files.duck import DuckLimits, duck
from twinserve.features.stored_files.file_sizes import FileSize
from twinserve.files.atomic import atomic_file
from twinserve.files.parquet_batches import parquet_batches
from twinserve.steps.ledger import Ledger

BATCH_ROWS = 16_384
BATCH_BYTES = 8 << 20
ROW_GROUP = 2 * BATCH_ROWS
COUNT = "__twinserve_rows"  # a column of the file: how many stored rows a key has


@dataclass(frozen=True)
class StagedRows:
    """One file of rows, one row a key.

    Attributes:
        run: a random name of the run that they belong to.
        request: what was asked for when they were collected.
        files: the day files that they are from, each with its signature then.
        unfinished: those of `files` that also hold rows whose time has not come.
        read: rows that these files have, by their footers.
        left_out: the rule by which rows were left out → rows.
    """

    path: Path
    run: str
    request: str
    rows: int
    files: dict[str, str]
    unfinished: tuple[str, ...]
    read: int
    left_out: dict[str, int]

    def ledger(self) -> Ledger:
        """Where the rows that were read went: those of a key that is staged are counted by the key itself."""
        with pq.ParquetFile(self.path) as file:
            stored = sum(pc.sum(batch[COUNT]).as_py() or 0 for batch in parquet_batches(file, columns=[COUNT]))
        return Ledger(self.read, {"keys": self.rows}, {"older_row": stored - self.rows, **self.left_out})

    def batches(self, skip: int) -> Iterator[pa.RecordBatch]:
        """The rows behind the first `skip`, in batches of a few megabytes."""
        with pq.ParquetFile(self.path) as file:
            groups: list[int] = []
            for number in range(file.num_row_groups):
                rows = file.metadata.row_group(number).num_rows
                if groups or skip < rows:
                    groups.append(number)
                else:
                    skip -= rows
            for batch in parquet_batches(file, _batch_rows(file.metadata), row_groups=groups):
                if skip < batch.num_rows:
                    yield batch.slice(skip)
                skip = max(0, skip - batch.num_rows)

    def latest(self, timestamp: str) -> int | None:
        """The latest event time of them, in µs; None where there are no rows."""
        size = FileSize.of(self.path, timestamp)
        return size.latest if size else None

    def discard(self) -> None:
        """Remove the file: its rows are written."""
        self.path.unlink(missing_ok=True)


@dataclass(frozen=True)
class LeftOut:
    """What a query is not to take.

    Attributes:
        sql: gives a file's name, its rows for which it is not the time, and its rows without a key or an event time.
        rule: the name of the first rule.
    """

    sql: str
    rule: str


def stage_rows(
    path: Path, request: str, sql: str, limits: DuckLimits, files: dict[str, str], read: int, left_out: LeftOut
) -> StagedRows:
    """Collect the rows of an SQL query, which gives a column `COUNT`.

    Args:
        read: rows of `files`.

    Raises:
        BadInput: a data file is damaged, or has other columns or types than the query needs.
        TransientError: the disk is full.
    """
    run = secrets.token_hex(8)
    with duck(limits) as connection:
        found = connection.sql(left_out.sql).fetchall()
        later = sorted(name for name, rows, _ in found if rows)
        counts = {left_out.rule: sum(rows for _, rows, _ in found), "no_key_or_time": sum(rows for *_, rows in found)}
        facts = {"run": run, "request": request, "files": files, "unfinished": later, "read": read, "left_out": counts}
        about = json.dumps(facts)
        with atomic_file(path) as draft:
            connection.execute(
                f"COPY ({sql}) TO {_text(str(draft))} (FORMAT parquet, COMPRESSION snappy, ROW_GROUP_SIZE {ROW_GROUP}, "
                f"ROW_GROUP_SIZE_BYTES {4 * BATCH_BYTES}, KV_METADATA {{staged: {_text(about)}}})"
            )
    staged = staged_rows(path)
    assert staged is not None, f"{path} vanished"  # noqa: S101 - nobody else writes it: the caller holds its lock
    return staged


def staged_rows(path: Path, request: str | None = None) -> StagedRows | None:
    """What an earlier run left, if it was after the same; anything else there is removed."""
    try:
        metadata = pq.read_metadata(path)
        about = json.loads((metadata.metadata or {})[b"staged"])
        about["rows"], about["unfinished"] = metadata.num_rows, tuple(about["unfinished"])
        staged = StagedRows(path, **about)
    except FileNotFoundError:
        return None
    except (OSError, KeyError, TypeError, ValueError):  # ArrowInvalid is a ValueError; an earlier release noted less
        path.unlink(missing_ok=True)
        return None
    if request is not None and staged.request != request:
        path.unlink(missing_ok=True)
        return None
    return staged


def _batch_rows(metadata: pq.FileMetaData) -> int:
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    width = max((group.total_byte_size // max(group.num_rows, 1) for group in groups), default=0)
    return int(min(BATCH_ROWS, max(1, BATCH_BYTES // max(width, 1))))


def _text(value: str) -> str:
    """An SQL string."""
    return "'" + value.replace("'", "''") + "'"
