"""Labels from a table of the source database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from sqlalchemy import Connection, MetaData, Select, Table, inspect, select, type_coerce
from sqlalchemy.engine import URL
from sqlalchemy.exc import NoSuchTableError
from sqlalchemy.types import NullType

from training_pipeline.labels import LabelColumns, typed_labels
from twinserve.errors import BadInput, StepMissing
from twinserve.values.databases import database_errors, open_engine, parse_url, public_name

PIECE_ROWS = 50_000


def database_labels(database: str, table: str, columns: LabelColumns) -> Iterator[pa.Table]:
    """The labels of a database table, in pieces, ordered by time, then keys, then target.

    Raises:
        BadInput: no such table or column, or a value of another kind; names it.
        TransientError: the database can't be reached.
        StepMissing: it is a SQLite file that isn't there.
    """
    url = parse_url(database)
    _refuse_missing_file(url)
    engine = open_engine(url)
    try:
        with database_errors(public_name(url)), engine.connect() as connection:
            query = _query(connection, table, columns)
            yield from _pieces(connection, query, table, columns)
    finally:
        engine.dispose()


def _refuse_missing_file(url: URL) -> None:
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        raise StepMissing(
            f"no source database at {url.database}",
            fix="Set TWINSERVE_SOURCE_URL, or run `data-pipeline generate` for sample data",
        )


def _query(connection: Connection, name: str, columns: LabelColumns) -> Select[*tuple[Any, ...]]:
    schema, _, short = name.rpartition(".")
    try:
        table = Table(short, MetaData(), schema=schema or None, autoload_with=connection)
    except NoSuchTableError:
        there = ", ".join(sorted(inspect(connection).get_table_names(schema or None))[:20])
        raise BadInput(
            f"the source has no table {name}; it has {there or 'none'}", fix="Correct labels.table"
        ) from None
    sources = columns.at_source(table.c.keys(), f"table {name}")
    raw = [table.c[source] for source in sources.values()]
    order = [table.c[sources[column]] for column in (columns.timestamp, *columns.join_keys, columns.target)]
    # as the database client gives them: SQLAlchemy's own parsing would stop at the first bad value without its row
    return select(*(type_coerce(column, NullType()) for column in raw)).order_by(*order)


def _pieces(
    connection: Connection, query: Select[*tuple[Any, ...]], table: str, columns: LabelColumns
) -> Iterator[pa.Table]:
    rows = connection.execution_options(yield_per=PIECE_ROWS).execute(query)
    names = [*columns.join_keys, columns.timestamp, columns.target]
    before = 0
    for part in rows.partitions():
        yield typed_labels(dict(zip(names, zip(*part, strict=True), strict=True)), columns, table, before)
        before += len(part)
