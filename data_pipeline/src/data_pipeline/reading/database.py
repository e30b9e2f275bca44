"""A table of a database, through SQLAlchemy; streamed, and filtered by the database itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy import Engine
from sqlalchemy.exc import NoSuchTableError
from sqlalchemy.types import Date, DateTime

from data_pipeline.reading.source import CHUNK_ROWS
from twinserve.databases import database_errors
from twinserve.errors import BadInput


class DatabaseTable:
    """See `Source`. `table` may carry its schema: `schema.table`."""

    def __init__(self, engine: Engine, database: str, table: str) -> None:
        self.engine, self.database = engine, database
        self.schema, self.table = table.rpartition(".")[0] or None, table.rpartition(".")[2]
        self.name = f"{database}#{table}"

    def columns(self) -> list[str]:
        """See `Source`."""
        return list(self._types())

    def rows(self, columns: list[str], arrival: str, since: datetime | None) -> Iterator[pa.Table]:
        """See `Source`."""
        query: sa.Select[*tuple[Any, ...]] = sa.select(*map(sa.column, columns)).select_from(
            sa.table(self.table, schema=self.schema)
        )
        if since is not None:
            query = query.where(self._arrived(arrival, since))
        with database_errors(self.database), self.engine.connect() as connection:
            if self.engine.dialect.name == "postgresql":
                connection.execute(sa.text("SET TIME ZONE 'UTC'"))
            streaming = connection.execution_options(stream_results=True, yield_per=CHUNK_ROWS)
            for chunk in streaming.execute(query).partitions():
                yield _as_table(columns, [tuple(row) for row in chunk])

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

    def _arrived(self, arrival: str, since: datetime) -> sa.ColumnElement[bool]:
        column: sa.ColumnElement[Any] = sa.column(arrival)
        bound: Any = since.astimezone(UTC)
        if self.engine.dialect.name == "sqlite":
            # SQLite keeps times as text of any zone: its datetime() brings them to UTC, whole seconds, or to null
            column = sa.func.datetime(column)
            bound = bound.strftime("%Y-%m-%d %H:%M:%S")
            return sa.or_(column >= bound, column.is_(None))
        kind = self._types()[arrival]
        if not isinstance(kind, Date | DateTime):
            return sa.true()  # text or numbers can't be compared with a time: read all, duplicates are dropped later
        if not getattr(kind, "timezone", False):
            bound = bound.replace(tzinfo=None)
        return sa.or_(column >= (bound.date() if isinstance(kind, Date) else bound), column.is_(None))


def _as_table(columns: list[str], rows: list[tuple[Any, ...]]) -> pa.Table:
    return pa.table({name: _array([row[i] for row in rows]) for i, name in enumerate(columns)})


def _array(values: list[Any]) -> pa.Array:
    """An array of the values' own type; of their text where types are mixed or unknown, for clean to sort out."""
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        return pa.array([None if value is None else str(value) for value in values], pa.string())
