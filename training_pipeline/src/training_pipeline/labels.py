"""Labels: what happened, to whom, when; in one shape, wherever they come from."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from training_pipeline.target_values import cast_target
from twinserve.errors import BadInput
from twinserve.source_values.cast import Cast
from twinserve.source_values.casting import cast_column, cast_key
from twinserve.source_values.from_python import column_of
from twinserve.source_values.plain_columns import readable_column
from twinserve.source_values.renaming import source_columns
from twinserve.source_values.shown import shown
from twinserve.values.arrow_types import ARROW_TYPES
from twinserve.values.entity_rows import column_names, read_entity_rows
from twinserve.values.times import INSTANT

logger = logging.getLogger(__name__)
EVENT_TIME = "event_timestamp"


@dataclass(frozen=True)
class LabelColumns:
    """What a label row consists of.

    Attributes:
        join_keys: column → Feast type.
        timestamp: the event time column at the source, or what `rename` makes of it; it becomes `event_timestamp`.
        target_type: what the target is read as: int64, bool or string for classes, float64 for a regression.
        rename: source column → one of these.
    """

    join_keys: dict[str, str]
    timestamp: str
    target: str
    target_type: pa.DataType
    rename: Mapping[str, str] = field(default_factory=dict)

    def at_source(self, available: Collection[str], place: str) -> dict[str, str]:
        """Column → column at the source, in the order of the labels' own.

        Raises:
            BadInput: one is missing; names it and what is there.
        """
        wanted = [*self.join_keys, self.timestamp, self.target]
        if unknown := sorted(set(self.rename.values()) - set(wanted)):
            raise BadInput(
                f"labels.rename names {', '.join(unknown)}; a label has {', '.join(wanted)}", fix="Correct the name"
            )
        found = source_columns(wanted, self.rename, available, place)
        if missing := [source for source in found.values() if source not in available]:
            there = ", ".join(list(available)[:20])
            raise BadInput(
                f"{place} has no column {', '.join(missing)}; it has {there}",
                fix="Correct `labels` in params.yaml; a column of another name goes under labels.rename",
            )
        return found

    @property
    def schema(self) -> pa.Schema:
        """Of the labels: join keys, `event_timestamp` in µs UTC, target."""
        keys = [(name, ARROW_TYPES[kind]) for name, kind in self.join_keys.items()]
        return pa.schema([*keys, (EVENT_TIME, INSTANT), (self.target, self.target_type)])

    def read(self, name: str, column: pa.Array) -> Cast:
        """A source column as what it is here."""
        if name in self.join_keys:
            return cast_key(column, self.join_keys[name])
        if name == self.timestamp:
            return cast_column(column, "UNIX_TIMESTAMP")
        return cast_target(column, self.target_type)


def file_labels(file: Path, columns: LabelColumns) -> Iterator[pa.Table]:
    """The labels of a CSV, TSV or Parquet file, in one piece.

    Raises:
        BadInput: names file, column and first bad line.
    """
    sources = columns.at_source(column_names(file), str(file))
    keys = {sources[key]: kind for key, kind in columns.join_keys.items()}
    rows = read_entity_rows(file, keys, timestamp=sources[columns.timestamp], required=[sources[columns.target]])
    for note in rows.notes:
        logger.warning(note)
    yield typed_labels({name: rows.table[source] for name, source in sources.items()}, columns, str(file), 0)


def typed_labels(
    values: Mapping[str, Sequence[Any] | pa.ChunkedArray], columns: LabelColumns, place: str, before: int
) -> pa.Table:
    """Columns of any type as a table of `columns.schema`.

    Args:
        values: as a database client gives them, or of Arrow; by the names in `columns`, in the order of its schema.
        place: file or table, for messages.
        before: rows that came before these, for messages.

    Raises:
        BadInput: the first value that does not fit.
    """
    typed = []
    for (name, given), kind in zip(values.items(), columns.schema.types, strict=True):
        column = given if isinstance(given, pa.ChunkedArray) else column_of(given)
        read = columns.read(name, readable_column(column, f"{place}: {name}"))
        if read.wrong.any():
            row = int(read.wrong.argmax())
            where = f"{place}, row {before + row + 1}: {name} is {shown(given[row])}"
            raise BadInput(f"{where}, which is no {kind}", fix="Correct the labels")
        typed.append(read.values)
    return pa.table(typed, schema=columns.schema)


def without_time(table: pa.Table) -> tuple[pa.Table, int]:
    """Labels that have a time, and how many had none: at no moment, no feature can be read."""
    has_time = pc.is_valid(table[EVENT_TIME])
    return table.filter(has_time), table.num_rows - int(np.sum(has_time.to_numpy()))
