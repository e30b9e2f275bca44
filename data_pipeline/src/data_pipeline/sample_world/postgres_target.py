"""A world in PostgreSQL, in one transaction and through COPY."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow.csv as pa_csv
from sqlalchemy import Connection, Engine, inspect, text

from data_pipeline.sample_world.tables import MANIFEST, ORDERS, STATS, TABLES, Manifest, Piece
from twinserve.values.databases import database_errors

COLUMNS = {
    STATS: "event_timestamp timestamptz, driver_id bigint, conv_rate double precision, "
    "acc_rate double precision, avg_daily_trips bigint, created timestamptz",
    ORDERS: "event_timestamp timestamptz, driver_id bigint, trip_completed bigint",
    MANIFEST: "parameters text, rows text",
}
LOCK = 0x7715E12E  # any number, the same in every run


class PostgresTarget:
    """The tables of a world in the first schema of the search path; others beside them are left alone."""

    def __init__(self, name: str, engine: Engine) -> None:
        self.name, self.engine = name, engine

    def tables(self) -> set[str]:
        """See `Target`."""
        with database_errors(self.name):
            return set(inspect(self.engine).get_table_names()) & set(TABLES)

    def manifest(self) -> Manifest:
        """See `Target`."""
        with database_errors(self.name), self.engine.connect() as connection:
            row = connection.execute(text(f"SELECT parameters, rows FROM {MANIFEST}")).one()  # noqa: S608 - our own name
        return Manifest(*row)

    def write(self, pieces: Iterator[Piece], parameters: str) -> Manifest:
        """See `Target`."""
        with database_errors(self.name), self.engine.begin() as connection:
            connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))  # one at a time
            _create(connection)
            rows: Counter[str] = Counter()
            for table, piece in pieces:
                _copy(connection, table, piece)
                rows[table] += piece.num_rows
            manifest = Manifest(parameters, json.dumps(rows, sort_keys=True))
            insert = text(f"INSERT INTO {MANIFEST} VALUES (:parameters, :rows)")  # noqa: S608 - our own name
            connection.execute(insert, manifest._asdict())
        return manifest


def _create(connection: Connection) -> None:
    for table, columns in COLUMNS.items():
        connection.execute(text(f"DROP TABLE IF EXISTS {table}"))
        connection.execute(text(f"CREATE TABLE {table} ({columns})"))


def _copy(connection: Connection, table: str, piece: Any) -> None:
    buffer = io.BytesIO()
    pa_csv.write_csv(piece, buffer, pa_csv.WriteOptions(include_header=False))
    cursor = connection.connection.cursor()
    with cursor.copy(f"COPY {table} FROM STDIN (FORMAT csv)") as copy:
        copy.write(buffer.getvalue())
