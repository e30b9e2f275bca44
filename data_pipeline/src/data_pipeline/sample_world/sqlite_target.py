"""A world as a SQLite file, written beside its name and renamed when whole."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline.sample_world.tables import MANIFEST, ORDERS, STATS, TABLES, Manifest, Piece
from twinserve.errors import BadInput, TransientError
from twinserve.files.atomic import atomic_file

SCHEMA = f"""
CREATE TABLE {STATS} (event_timestamp DATETIME, driver_id BIGINT, conv_rate DOUBLE, acc_rate DOUBLE,
                      avg_daily_trips BIGINT, created DATETIME);
CREATE TABLE {ORDERS} (event_timestamp DATETIME, driver_id BIGINT, trip_completed BIGINT);
CREATE TABLE {MANIFEST} (parameters TEXT, rows TEXT);
"""
BATCH = 50_000


class SqliteTarget:
    """A file; other tables in it would be lost with it, so there may be none."""

    def __init__(self, name: str, file: Path) -> None:
        self.name, self.file = name, file

    def tables(self) -> set[str]:
        """See `Target`."""
        if not self.file.exists():
            return set()
        found = {row[0] for row in self._read("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if found and not found <= set(TABLES):
            others = ", ".join(sorted(found - set(TABLES))[:5])
            raise BadInput(
                f"{self.file} holds other tables ({others}), which generate would lose",
                fix="Set TWINSERVE_SOURCE_URL to a file of its own",
            )
        return found

    def manifest(self) -> Manifest:
        """See `Target`."""
        return Manifest(*self._read(f"SELECT parameters, rows FROM {MANIFEST}")[0])  # noqa: S608 - our own name

    def write(self, pieces: Iterator[Piece], parameters: str) -> Manifest:
        """See `Target`."""
        with atomic_file(self.file) as draft, closing(sqlite3.connect(draft)) as database:
            try:
                manifest = _fill(database, pieces, parameters)
            except sqlite3.OperationalError as error:
                raise TransientError(f"{self.file} can't be written: {error}", fix="Is its disk full?") from error
        return manifest

    def _read(self, query: str) -> list[tuple[str, ...]]:
        try:
            with closing(sqlite3.connect(f"{self.file.as_uri()}?mode=ro", uri=True)) as database:
                return database.execute(query).fetchall()
        except sqlite3.DatabaseError as error:
            raise BadInput(f"{self.file} can't be read as SQLite: {error}", fix="Move it away") from error


def _fill(database: sqlite3.Connection, pieces: Iterator[Piece], parameters: str) -> Manifest:
    # the draft is synced and renamed as a whole: a journal would only cost time and leave files
    database.execute("PRAGMA journal_mode = OFF")
    database.execute("PRAGMA synchronous = OFF")
    database.executescript(SCHEMA)
    rows: Counter[str] = Counter()
    for table, piece in pieces:
        _insert(database, table, piece)
        rows[table] += piece.num_rows
    manifest = Manifest(parameters, json.dumps(rows, sort_keys=True))
    database.execute(f"INSERT INTO {MANIFEST} VALUES (?, ?)", manifest)  # noqa: S608 - our own name
    database.commit()
    return manifest


def _insert(database: sqlite3.Connection, table: str, piece: pa.Table) -> None:
    marks = ", ".join("?" * piece.num_columns)
    for low in range(0, piece.num_rows, BATCH):
        columns = [_plain(column) for column in piece.slice(low, BATCH).columns]
        database.executemany(f"INSERT INTO {table} VALUES ({marks})", zip(*columns, strict=True))  # noqa: S608


def _plain(column: pa.ChunkedArray) -> list[object]:
    """Python values; times as SQLAlchemy writes them in SQLite: UTC without saying so, to the microsecond."""
    if pa.types.is_timestamp(column.type):
        column = pc.strftime(column.cast(pa.timestamp("us")), format="%Y-%m-%d %H:%M:%S")
    values: list[object] = column.to_pylist()
    return values
