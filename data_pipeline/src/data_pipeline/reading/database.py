"""A table of a database, through SQLAlchemy; streamed, filtered and counted by the database itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import NoSuchTableError

from data_pipeline.reading.arrival_column import SQLITE, ArrivalColumn
from data_pipeline.reading.source import Account, Asked
from data_pipeline.reading.table_reading import TableReading
from twinserve.errors import BadInput
from twinserve.values.databases import database_errors


class DatabaseTable:
    """See `Source`. `table` may carry its schema: `schema.table`."""

    ordered = False

    def __init__(self, engine: Engine, database: str, table: str) -> None:
        self.engine, self.database = engine, database
        self.schema, self.table = table.rpartition(".")[0] or None, table.rpartition(".")[2]
        self.name = f"{database}#{table}"

    def columns(self) -> list[str]:
        """See `Source`."""
        return list(self._types())

    def read(self, asked: Asked, account: Account) -> Iterator[pa.Table]:
        """See `Source`."""
        with self._reading(asked.columns.arrival) as reading:
            if asked.interval:
                yield from reading.interval(asked.interval, asked, account)
            else:
                yield from reading.news(asked, account)

    def rows(
        self, columns: list[str], arrival: str, since: datetime | None, until: datetime | None = None
    ) -> Iterator[pa.Table]:
        """See `Source`."""
        with self._reading(arrival) as reading:
            yield from reading.stretch(columns, since, until)

    @contextmanager
    def _reading(self, arrival: str) -> Iterator[TableReading]:
        column = ArrivalColumn(self.engine.dialect.name, arrival, self._types().get(arrival))
        with self._snapshot() as connection:
            yield TableReading(connection, sa.table(self.table, schema=self.schema), column)

    @contextmanager
    def _snapshot(self) -> Iterator[Connection]:
        """A connection to which the table stays as it is: what is counted is what is read."""
        with database_errors(self.database), self.engine.connect() as opened:
            connection = opened
            if self.engine.dialect.name == "postgresql":
                connection = opened.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
                connection.execute(sa.text("SET TIME ZONE 'UTC'"))
            elif self.engine.dialect.name == SQLITE:
                connection.exec_driver_sql("BEGIN")
            yield connection

    def _types(self) -> dict[str, Any]:
        with database_errors(self.database):
            inspector = sa.inspect(self.engine)
            try:
                found = inspector.get_columns(self.table, self.schema)
            except NoSuchTableError:
                there = ", ".join(sorted(inspector.get_table_names(self.schema))[:20]) or "none"
                raise BadInput(
                    f"{self.database} has no table {self.table}; it has {there}",
                    fix="Correct `table` in sources.yaml, or fill the database",
                ) from None
        return {column["name"]: column["type"] for column in found}
