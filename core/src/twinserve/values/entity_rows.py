"""Rows that ask for features: keys, a moment, and whatever else the file carries. CSV, TSV or Parquet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from twinserve.errors import BadInput
from twinserve.files.table_file import BATCH_ROWS, TableFile
from twinserve.source_values.casting import cast_key
from twinserve.source_values.plain_columns import readable_column
from twinserve.values.arrow_types import ARROW_TYPES
from twinserve.values.times import INSTANT, as_instants


@dataclass(frozen=True)
class EntityRows:
    """Rows in the order of the file.

    Attributes:
        table: the join keys typed as Feast declares them, the event time as microseconds UTC, and every other
            column of the file as it is: of its own type in Parquet, text in a text file.
        notes: what was assumed on the way, for the log and the task's result.
        undated: how many rows named no time, and got the one that the reader was given.
    """

    table: pa.Table
    notes: tuple[str, ...]
    undated: int = 0


def column_names(path: Path) -> list[str]:
    """The columns of a file of entity rows.

    Raises:
        BadInput: no such file, or it can't be read.
    """
    return list(TableFile(path).schema().names)


def read_entity_rows(
    path: Path,
    join_keys: dict[str, str],
    *,
    timestamp: str = "event_timestamp",
    required: Sequence[str] = (),
    moment: datetime | None = None,
) -> EntityRows:
    """Read a file of entity rows whole; arguments and errors as for `EntityRowReader`."""
    reader = EntityRowReader(path, join_keys, timestamp=timestamp, required=required, moment=moment)
    table = pa.Table.from_batches(reader.batches(), reader.schema)
    return EntityRows(table, tuple(reader.notes), reader.undated)


class EntityRowReader:
    """A file of entity rows, a batch at a time: memory does not grow with the file.

    A batch is given out only while all rows so far are good. After a bad one the rest is read for the error's sake;
    it is raised at the end. So what was made of the batches must not be used before the last one has been taken.

    Args:
        path: `.csv`, `.tsv`, `.txt` (comma, semicolon or tab, told by the header; `.gz` too) or `.parquet`; UTF-8,
            with or without a byte-order mark.
        join_keys: column → Feast type (`INT32`, `INT64`, `STRING`). An empty key stays null.
        timestamp: the event time column: ISO 8601 text or a Parquet timestamp; without a zone it is UTC, and parts of
            a microsecond are cut off.
        required: further columns that must be there.
        moment: the event time of rows that name none, or of all where there is no such column; without it they are
            refused.

    Attributes:
        schema: of the batches; see `EntityRows.table`.
        rows: how many were read so far.
        undated: how many of them named no time.

    Raises:
        BadInput: no such file, no rows, a column missing, a key or time that can't be read; names the file, the
            column and the first bad line (in a Parquet file: the row, counted from 1).
    """

    def __init__(
        self,
        path: Path,
        join_keys: dict[str, str],
        *,
        timestamp: str = "event_timestamp",
        required: Sequence[str] = (),
        moment: datetime | None = None,
    ) -> None:
        self.path, self._join_keys, self._timestamp, self._moment = path, join_keys, timestamp, moment
        self._file = TableFile(path)
        source_schema = self._file.schema()
        self._adds_time = moment is not None and timestamp not in source_schema.names
        added = [pa.field(timestamp, INSTANT)] if self._adds_time else []
        self.schema = pa.schema([*source_schema, *added], source_schema.metadata)
        _require(path, self.schema.names, [*join_keys, timestamp, *required])
        kinds = {key: ARROW_TYPES[kind] for key, kind in join_keys.items()} | {timestamp: INSTANT}
        for name, kind in kinds.items():
            self.schema = self.schema.set(self.schema.get_field_index(name), pa.field(name, kind))
        self.rows = self.undated = 0
        self._naive = self._wrong_times = 0
        self._errors: dict[str, _Problem] = {}  # the first of each column

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows in the order of the file, typed."""
        for batch in self._file.batches(rows=BATCH_ROWS):
            typed = self._typed(batch)
            self.rows += batch.num_rows
            if typed is not None and batch.num_rows:
                yield typed
        self._refuse()

    @property
    def notes(self) -> list[str]:
        """What was assumed so far."""
        name, column = self.path.name, self._timestamp
        notes = [f"{name}: {self._naive} times in {column} have no zone; taken as UTC"] if self._naive else []
        if self.undated:
            notes.append(f"{name}: {self.undated} rows name no time; taken as of {self._moment}")
        return notes

    def _typed(self, batch: pa.RecordBatch) -> pa.RecordBatch | None:
        columns = dict(zip(self.schema.names, batch.columns, strict=False))
        if self._adds_time:
            columns[self._timestamp] = pa.nulls(batch.num_rows, INSTANT)
        for key, kind in self._join_keys.items():
            columns[key] = self._key(key, columns[key], kind)
        columns[self._timestamp] = self._times(columns[self._timestamp])
        return None if self._errors else pa.RecordBatch.from_arrays(list(columns.values()), schema=self.schema)

    def _key(self, column: str, values: pa.Array, kind: str) -> pa.Array:
        read = cast_key(readable_column(values, f"{self.path}: column {column}"), kind)
        if read.wrong.any():
            bad = int(read.wrong.argmax())
            says = f"{column} is {_spelled(values[bad])}, which is no {kind}"
            self._errors.setdefault(column, _Problem(says, "Correct the row", self.rows + bad))
        return read.values

    def _times(self, values: pa.Array) -> pa.Array:
        times, wrong, naive = as_instants(values)
        self._naive += naive
        if self._moment:
            self.undated += times.null_count - int(wrong.sum())
            times = pc.if_else(pa.array(wrong), times, times.fill_null(pa.scalar(self._moment, INSTANT)))
        if times.null_count:
            bad = int(times.is_null().to_numpy(zero_copy_only=False).argmax())
            self._wrong_times += times.null_count
            says = f"{self._timestamp} is {_spelled(values[bad])}, which is no time"
            fix = "Give ISO 8601, for example 2026-01-31T12:00:00Z"
            self._errors.setdefault(self._timestamp, _Problem(says, fix, self.rows + bad))
        return times

    def _refuse(self) -> None:
        if not self.rows:
            raise BadInput(f"{self.path} has a header but no rows", fix="Give at least one row")
        for column in [*self._join_keys, self._timestamp]:
            if problem := self._errors.get(column):
                count = f" ({self._wrong_times} such rows)" if column == self._timestamp else ""
                place = "" if problem.row is None else f", {self._file.place(problem.row)}"
                raise BadInput(f"{self.path}{place}: {problem.says}{count}", fix=problem.fix)


@dataclass(frozen=True)
class _Problem:
    says: str
    fix: str
    row: int | None = None


def _require(path: Path, has: list[str], columns: list[str]) -> None:
    if missing := [column for column in columns if column not in has]:
        raise BadInput(f"{path} has no column {', '.join(missing)}; it has {', '.join(has[:20])}", fix="Add it")


def _spelled(value: pa.Scalar) -> str:
    try:
        return repr(str(value))
    except (OverflowError, ValueError):  # a time that Python's own don't reach
        return f"{value.value} ({value.type})"
