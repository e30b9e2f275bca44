"""A table of a database, through SQLAlchemy; streamed, and filtered by the database itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy import Engine
from sqlalchemy.exc import NoSuchTableError
from sqlalchemy.types import Date, DateTime

from data_pipeline.reading.source import CHUNK_ROWS, arrived
from twinserve.databases import database_errors
from twinserve.errors import BadInput
from twinserve.source_values.from_python import column_of


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

    def rows(
        self, columns: list[str], arrival: str, since: datetime | None, until: datetime | None = None
    ) -> Iterator[pa.Table]:
        """See `Source`."""
        query: sa.Select[*tuple[Any, ...]] = sa.select(*map(sa.column, columns)).select_from(
            sa.table(self.table, schema=self.schema)
        )
        if since is not None:
            query = query.where(self._arrived(arrival, since, until))
        with database_errors(self.database), self.engine.connect() as connection:
            if self.engine.dialect.name == "postgresql":
                connection.execute(sa.text("SET TIME ZONE 'UTC'"))
            streaming = connection.execution_options(stream_results=True, yield_per=CHUNK_ROWS)
            for chunk in streaming.execute(query).partitions():
                found = _as_table(columns, [tuple(row) for row in chunk])
                # the database's own comparison may be coarse: whole seconds, whole days, none at all
                yield arrived(found, arrival, since if until else None, until)

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

    def _arrived(self, arrival: str, since: datetime, until: datetime | None) -> sa.ColumnElement[bool]:
        column: sa.ColumnElement[Any] = sa.column(arrival)
        if self.engine.dialect.name == "sqlite":
            # SQLite keeps times as text of any zone: its datetime() brings them to UTC, whole seconds, or to null
            return _between(sa.func.datetime(column), since, until, lambda time: f"{time:%Y-%m-%d %H:%M:%S}")
        kind = self._types()[arrival]
        if not isinstance(kind, Date | DateTime):
            return sa.true()  # text or numbers can't be compared with a time: read all, duplicates are dropped later
        if isinstance(kind, Date):
            return _between(column, since, until, datetime.date)
        zoned = getattr(kind, "timezone", False)
        return _between(column, since, until, lambda time: time if zoned else time.replace(tzinfo=None))


def _between(
    column: sa.ColumnElement[Any], since: datetime, until: datetime | None, bound: Callable[[datetime], Any]
) -> sa.ColumnElement[bool]:
    """At or after `since` and at or before `until`, as `bound` writes them, or null.

    Nulls are asked for with `until` too: a text that SQLite can't read as a time may be one to us.
    """
    held = column >= bound(since.astimezone(UTC))
    if until is not None:
        held = sa.and_(held, column <= bound(until.astimezone(UTC)))
    return sa.or_(held, column.is_(None))


def _as_table(columns: list[str], rows: list[tuple[Any, ...]]) -> pa.Table:
    return pa.table({name: column_of([row[i] for row in rows]) for i, name in enumerate(columns)})
