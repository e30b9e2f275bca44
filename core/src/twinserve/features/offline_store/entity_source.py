"""Rows that ask for features, whatever they come as: read piece by piece, in order."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from twinserve.errors import BadInput
from twinserve.features.stored_files.duck import DuckLimits, duck
from twinserve.features.stored_files.feast_arrow import cast_column
from twinserve.features.stored_files.feature_rows import named
from twinserve.features.stored_files.source_files import Span, parquet_in
from twinserve.files.parquet_batches import parquet_batches
from twinserve.values.times import INSTANT

DEFAULT_TIMESTAMP = "event_timestamp"
PIECE_BYTES = 256 << 20  # wide rows make shorter pieces
_READ_ROWS = 65_536


class EntityRows(ABC):
    """Attributes:
    schema: of the rows, as they are given.
    total: how many there are; None where that is not known.
    """

    schema: pa.Schema
    total: int | None = None

    @cached_property
    def timestamp(self) -> str:
        """The column with the moments: `event_timestamp`, or the only one of a timestamp type.

        Raises:
            BadInput: there is none, or more than one.
        """
        if DEFAULT_TIMESTAMP in self.schema.names:
            return DEFAULT_TIMESTAMP
        found = [field.name for field in self.schema if pa.types.is_timestamp(field.type)]
        if len(found) != 1:
            raise BadInput(
                f"entity rows have {len(found)} columns of times, and none is named {DEFAULT_TIMESTAMP}",
                fix=f"Name one {DEFAULT_TIMESTAMP}",
            )
        return str(found[0])

    @abstractmethod
    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows, in order."""

    def pieces(self, rows: int) -> Iterator[pa.Table]:
        """The rows in tables of about `rows`."""
        held: list[pa.RecordBatch] = []
        count = size = 0
        for batch in self.batches():
            held.append(batch)
            count, size = count + batch.num_rows, size + batch.nbytes
            if count >= rows or size >= PIECE_BYTES:
                yield pa.Table.from_batches(held, self.schema).combine_chunks()
                held, count, size = [], 0, 0
        if held:
            yield pa.Table.from_batches(held, self.schema).combine_chunks()

    def span(self) -> Span | None:
        """First and last moment; None where all are null."""
        found = [(low, high) for low, high in map(_range, self._times()) if low is not None and high is not None]
        return Span(min(low for low, _ in found), max(high for _, high in found)) if found else None

    def _times(self) -> Iterable[pa.Array | pa.ChunkedArray]:
        """Times of which the least and the greatest are those of all rows."""
        return (batch[self.timestamp] for batch in self.batches())


class FrameRows(EntityRows):
    """A DataFrame."""

    def __init__(self, frame: pd.DataFrame) -> None:
        try:
            self._table = pa.Table.from_pandas(frame, preserve_index=False)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise BadInput(f"a column of the entity rows mixes types: {error}", fix="Give it one type") from error
        self.schema, self.total = self._table.schema, self._table.num_rows

    def batches(self) -> Iterator[pa.RecordBatch]:
        return iter(self._table.to_batches(_READ_ROWS))

    def pieces(self, rows: int) -> Iterator[pa.Table]:
        return (self._table.slice(first, rows) for first in range(0, self._table.num_rows, rows))

    def _times(self) -> Iterable[pa.Array | pa.ChunkedArray]:
        return [self._table[self.timestamp]]


class ParquetRows(EntityRows):
    """A Parquet file, or a folder of them in the order of their names."""

    def __init__(self, path: Path) -> None:
        self._files = parquet_in(path)
        if not self._files:
            raise BadInput(f"there are no entity rows in {path}", fix="Give a Parquet file, or a folder of them")
        self.total, schemas = 0, []
        for file in self._files:
            with named(file), pq.ParquetFile(file) as parquet:
                schemas.append(parquet.schema_arrow)
                self.total += parquet.metadata.num_rows
        self.schema = schemas[0]
        for file, schema in zip(self._files, schemas, strict=True):
            if not schema.equals(self.schema):
                raise BadInput(
                    f"{file} has other columns or types than {self._files[0]}: {_difference(schema, self.schema)}",
                    fix="Give files of one make",
                )

    def batches(self) -> Iterator[pa.RecordBatch]:
        for file in self._files:
            with named(file), pq.ParquetFile(file) as parquet:
                yield from parquet_batches(parquet, _READ_ROWS)

    def _times(self) -> Iterable[pa.Array | pa.ChunkedArray]:
        for file in self._files:
            with named(file), pq.ParquetFile(file) as parquet:
                if (known := _statistics(parquet, self.timestamp)) is not None:
                    yield known
                else:
                    yield from (batch[0] for batch in parquet_batches(parquet, _READ_ROWS, [self.timestamp]))


class QueryRows(EntityRows):
    """A DuckDB query, run once: its rows go to a file in the workspace first."""

    def __init__(self, query: str, limits: DuckLimits) -> None:
        self.query, self._limits = query.strip().rstrip(";"), limits
        self._file: Path | None = None
        with duck(limits) as connection, _users_sql():
            _refuse_twice(connection.sql(self.query).columns)
            self.schema = connection.sql(f"SELECT * FROM (\n{self.query}\n) LIMIT 0").to_arrow_table().schema

    def run_into(self, folder: Path) -> QueryRows:
        """The same rows, ready to be read as often as needed while the folder is there."""
        ready = QueryRows.__new__(QueryRows)
        ready.schema, ready.query, ready.total = self.schema, self.query, 0
        ready._file = folder / "entity_rows.arrow"
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with (
            duck(DuckLimits(self._limits.memory, folder, self._limits.threads)) as connection,
            pa.ipc.new_file(str(ready._file), self.schema, options=options) as sink,
            _users_sql(),
        ):
            for batch in connection.sql(self.query).to_arrow_reader(_READ_ROWS):
                sink.write_batch(batch)
                ready.total += batch.num_rows
        return ready

    def batches(self) -> Iterator[pa.RecordBatch]:
        if self._file is None:
            with duck(self._limits) as connection, _users_sql():
                yield from connection.sql(self.query).to_arrow_reader(_READ_ROWS)
            return
        with pa.memory_map(str(self._file)) as mapped:
            reader = pa.ipc.open_file(mapped)
            for i in range(reader.num_record_batches):
                yield reader.get_batch(i)


def entity_rows(given: Any, limits: DuckLimits) -> EntityRows:
    """A DataFrame, the path of a Parquet file or of a folder of them, or SQL for DuckDB.

    Raises:
        BadInput: it is something else, or can't be read, or two columns have one name.
    """
    rows = _opened(given, limits)
    _refuse_twice(rows.schema.names)
    return rows


@contextmanager
def _users_sql() -> Iterator[None]:
    """What DuckDB says of the user's own query is not about our data; Ctrl-C, memory and disk are no fault of it."""
    try:
        yield
    except (duckdb.InterruptException, duckdb.OutOfMemoryException):
        raise
    except duckdb.Error as error:
        if "No space left" in str(error):
            raise
        raise BadInput(f"the entity rows' SQL failed: {error}", fix="Correct it") from error


def _refuse_twice(names: list[str]) -> None:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BadInput(f"entity rows have two columns named {', '.join(twice)}", fix="Rename one")


def _opened(given: Any, limits: DuckLimits) -> EntityRows:
    if isinstance(given, pd.DataFrame):
        return FrameRows(given)
    if isinstance(given, Path) or (isinstance(given, str) and not re.search(r"\s", given.strip())):
        return ParquetRows(_existing(Path(given)))
    if isinstance(given, str):
        path = Path(given)
        return ParquetRows(path) if _is_there(path) else QueryRows(given, limits)
    raise BadInput(f"entity rows come as {type(given).__name__}", fix="Give a DataFrame, a path of Parquet, or SQL")


def moments(column: pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Microseconds since 1970 UTC; the least integer where the row has no moment, which is before everything.

    Raises:
        BadInput: a value is no time.
    """
    micros: np.ndarray[Any, np.dtype[np.int64]] = pc.fill_null(_ticks(column), np.iinfo(np.int64).min).to_numpy()
    return micros


def _existing(path: Path) -> Path:
    if not path.exists():
        raise BadInput(f"there is no {path}", fix="Give the path of a Parquet file, or SQL")
    return path


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # SQL longer than a path can be
        return False


def _statistics(parquet: pq.ParquetFile, column: str) -> pa.Array | None:
    """Least and greatest of each row group, from the footer; None where it does not say."""
    metadata, at = parquet.metadata, parquet.schema_arrow.get_field_index(column)
    kind = parquet.schema_arrow.field(at).type
    if not pa.types.is_timestamp(kind) or metadata.num_columns != len(parquet.schema_arrow.names):
        return None
    found = [metadata.row_group(i).column(at).statistics for i in range(metadata.num_row_groups)]
    if not all(each is not None and each.has_min_max for each in found):
        return None
    try:
        return pa.array([end for each in found for end in (each.min, each.max)], INSTANT)
    except (OverflowError, ValueError):  # a year that Python's times don't hold: the values themselves tell
        return None


def _range(times: pa.Array | pa.ChunkedArray) -> tuple[int | None, int | None]:
    ends = pc.min_max(_ticks(times))
    return ends["min"].as_py(), ends["max"].as_py()


def _ticks(times: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    try:
        return cast_column(times, INSTANT).cast(pa.int64())
    except ValueError as error:
        raise BadInput(f"entity rows have a moment that is none: {error}", fix="Give ISO 8601") from error


def _difference(one: pa.Schema, other: pa.Schema) -> str:
    here, there = {f"{f.name} {f.type}" for f in one}, {f"{f.name} {f.type}" for f in other}
    return ", ".join(sorted(here ^ there)) or "another order"
