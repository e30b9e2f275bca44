"""Labels: what happened, to whom, when; from the source database or from a file, in one shape."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, MetaData, Select, Table, inspect, select, type_coerce
from sqlalchemy.engine import URL
from sqlalchemy.exc import NoSuchTableError
from sqlalchemy.types import NullType

from twinserve.arrow_types import ARROW_TYPES
from twinserve.databases import database_errors, open_engine, parse_url, public_name
from twinserve.entity_rows import read_entity_rows
from twinserve.errors import BadInput, StepMissing
from twinserve.times import INSTANT, as_instants

logger = logging.getLogger(__name__)
EVENT_TIME = "event_timestamp"
PIECE_ROWS = 50_000


@dataclass(frozen=True)
class LabelColumns:
    """What a label row consists of.

    Attributes:
        join_keys: column → Feast type.
        timestamp: name of the event time column at the source; it becomes `event_timestamp`.
        target_type: what the target is cast to: int64, string, or float64 for a regression.
    """

    join_keys: dict[str, str]
    timestamp: str
    target: str
    target_type: pa.DataType

    @property
    def names(self) -> list[str]:
        """Columns at the source, in the order of the labels' own."""
        return [*self.join_keys, self.timestamp, self.target]

    @property
    def schema(self) -> pa.Schema:
        """Of the labels: join keys, `event_timestamp` in µs UTC, target."""
        keys = [(name, ARROW_TYPES[kind]) for name, kind in self.join_keys.items()]
        return pa.schema([*keys, (EVENT_TIME, INSTANT), (self.target, self.target_type)])


def target_type(positive_class: int | str | None) -> pa.DataType:
    """The Arrow type of a target: that of its classes, or float64 where there are none."""
    if positive_class is None:
        return pa.float64()
    return pa.string() if isinstance(positive_class, str) else pa.int64()


def file_labels(file: Path, columns: LabelColumns) -> Iterator[pa.Table]:
    """The labels of a CSV, TSV or Parquet file, in one piece.

    Raises:
        BadInput: names file, column and first bad line.
    """
    rows = read_entity_rows(file, columns.join_keys, timestamp=columns.timestamp, required=[columns.target])
    for note in rows.notes:
        logger.warning(note)
    values = [rows.table[name] for name in columns.names]
    yield typed_labels([*values[:-1], _target_of_file(values[-1], columns.target_type)], columns, str(file), 0)


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


def typed_labels(values: list[Any], columns: LabelColumns, place: str, before: int) -> pa.Table:
    """Columns of any type, in the order of `columns.names`, as a table of `columns.schema`.

    Args:
        place: file or table, for messages.
        before: rows that came before these, for messages.

    Raises:
        BadInput: the first value that does not fit.
    """
    cast = [
        _cast(column, field, f"{place}, row {{row}}: {name}", before)
        for column, field, name in zip(values, columns.schema, columns.names, strict=True)
    ]
    return pa.table(cast, schema=columns.schema)


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
    if missing := [column for column in columns.names if column not in table.c]:
        there = ", ".join(table.c.keys()[:20])
        raise BadInput(f"table {name} has no column {', '.join(missing)}; it has {there}", fix="Correct `labels`")
    raw = [table.c[column] for column in columns.names]
    order = [table.c[columns.timestamp], *(table.c[key] for key in columns.join_keys), table.c[columns.target]]
    # as the database client gives them: SQLAlchemy's own parsing would stop at the first bad value without its row
    return select(*(type_coerce(column, NullType()) for column in raw)).order_by(*order)


def _pieces(
    connection: Connection, query: Select[*tuple[Any, ...]], table: str, columns: LabelColumns
) -> Iterator[pa.Table]:
    rows = connection.execution_options(yield_per=PIECE_ROWS).execute(query)
    before = 0
    for part in rows.partitions():
        yield typed_labels([list(column) for column in zip(*part, strict=True)], columns, table, before)
        before += len(part)


def _cast(values: Any, field: pa.Field, place: str, before: int) -> pa.Array | pa.ChunkedArray:
    try:
        return _instants(values) if field.type == INSTANT else _plain(values, field.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, ValueError, OverflowError):
        row, value = _first_bad(values, field)
        where = place.format(row=before + row + 1)
        raise BadInput(f"{where} is {value!r}, which is no {field.type}", fix="Correct the labels") from None


def _target_of_file(values: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """In a text file, numbers may stand as whole ones, as true and false, or with a point; text of no kind stays."""
    if pa.types.is_string(kind) or not pa.types.is_string(values.type):
        return values
    for written in (pa.int64(), pa.bool_(), pa.float64()):
        with suppress(pa.ArrowInvalid):
            return pc.utf8_trim_whitespace(values).cast(written)
    return values


def _plain(values: Any, kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
    array = values if isinstance(values, pa.ChunkedArray) else pa.array(values)
    if pa.types.is_decimal(array.type):
        array = array.cast(pa.float64())
    return array.cast(kind)


def _instants(values: Any) -> pa.Array:
    times, wrong, _ = as_instants(values if isinstance(values, pa.ChunkedArray) else pa.array(_in_utc(values)))
    if wrong.any():
        raise ValueError("no time")
    return times


def _in_utc(values: Any) -> list[Any]:
    """A client's times in UTC: what Arrow makes of a fixed offset differs with what else is loaded."""
    return [v.astimezone(UTC) if isinstance(v, datetime) and v.tzinfo else v for v in values]


def _first_bad(values: Any, field: pa.Field) -> tuple[int, object]:
    plain = values.to_pylist() if isinstance(values, pa.ChunkedArray) else values
    for row, value in enumerate(plain):
        try:
            _instants([value]) if field.type == INSTANT else _plain([value], field.type)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, ValueError, OverflowError):
            return row, value
    kinds = sorted({type(value).__name__ for value in plain if value is not None})
    return 0, f"of mixed kinds ({', '.join(kinds)}) over the rows"


def without_time(table: pa.Table) -> tuple[pa.Table, int]:
    """Labels that have a time, and how many had none: at no moment, no feature can be read."""
    has_time = pc.is_valid(table[EVENT_TIME])
    return table.filter(has_time), table.num_rows - int(np.sum(has_time.to_numpy()))
