"""What the point-in-time join means, and how stored columns and files are written in DuckDB SQL.

The join keeps every entity row, in order. For each it takes the feature row with the same keys and the greatest
event time not after the row's own; among rows of one event time the last created, among those the one written
last: the last row of the last file by name. So a row pushed to a day counts against the published one. Its features
count only when that event time is at most the view's TTL before the row's. This is Feast's meaning, as its
documentation of point-in-time joins and TTL states it; the property tests hold it against brute force.

Times are compared as whole microseconds since 1970 UTC, free of the session's time zone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pyarrow as pa

from twinserve.errors import BadInput
from twinserve.value_types import VALUE_TYPES

# Feast value type -> DuckDB type. What is not here (lists, maps, …) is passed through as stored.
DUCKDB_TYPES = {name: kind.duckdb for name, kind in VALUE_TYPES.items() if kind.duckdb}
_WHOLE = ("INTEGER", "BIGINT")
EVENT_TIME_SUFFIX = "__event_timestamp"


@dataclass(frozen=True)
class JoinedView:
    """One feature view as the join needs it.

    Attributes:
        name: names the output column `<name>__event_timestamp`.
        path: the feature rows: a Parquet file, or a folder of them.
        keys: stored column → (entity column, Feast value type).
        features: output column → stored column.
        types: stored column of every feature of the view, asked for or not, in the order of the definition → its
            Arrow type, None for as it is stored.
    """

    name: str
    path: Path
    keys: dict[str, tuple[str, str]]
    features: dict[str, str]
    types: dict[str, pa.DataType | None]
    timestamp: str
    created: str | None
    ttl: timedelta | None

    @property
    def ttl_micros(self) -> int | None:
        """The TTL in microseconds."""
        return None if self.ttl is None else self.ttl // timedelta(microseconds=1)


def parquet_relation(files: list[str]) -> str:
    """`read_parquet` over exactly these files, columns matched by name."""
    names = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
    return f"read_parquet([{names}], hive_partitioning = false, union_by_name = true)"


def quoted(name: str) -> str:
    """A column name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def typed(column: str, feast_type: str) -> str:
    """The stored column, cast to what its Feast type is in DuckDB, or an error that names the column.

    What the join refuses is refused (`feast_arrow.cast_column`): a plain cast rounds numbers, and keys with them.
    DuckDB knows `typeof` before it runs: a column stored as declared is read as it is.
    """
    kind, stored = DUCKDB_TYPES.get(feast_type), quoted(column)
    if kind is None:
        return stored
    cast = f"CAST({stored} AS {kind})"
    if kind in ("FLOAT", "DOUBLE"):
        # decimals by way of their text, to the nearest float
        spelled = f"CAST(CAST(CAST({stored} AS VARCHAR) AS DOUBLE) AS {kind})"
        return f"CASE WHEN typeof({stored}) LIKE 'DECIMAL%' THEN {spelled} ELSE {cast} END"
    if kind not in (*_WHOLE, "VARCHAR"):
        return cast
    fits = _is_whole(stored, kind) if kind in _WHOLE else _has_one_text(stored)
    label = f"column {column} is not {feast_type}: ".replace("'", "''")
    return (
        f"CASE WHEN typeof({stored}) = '{kind}' THEN {cast} WHEN {stored} IS NULL THEN NULL "
        f"WHEN {fits} THEN {cast} ELSE error('{label}' || CAST({stored} AS VARCHAR)) END"
    )


def _is_whole(stored: str, kind: str) -> str:
    """Within the type and whole; a text of digits alone; a float that can't have lost any."""
    digits = f"regexp_full_match(CAST({stored} AS VARCHAR), '-?[0-9]+') AND TRY_CAST({stored} AS {kind}) IS NOT NULL"
    bound = f"CASE typeof({stored}) WHEN 'FLOAT' THEN {1 << 24} WHEN 'DOUBLE' THEN {1 << 53} ELSE 'inf'::DOUBLE END"
    whole = f"TRY_CAST({stored} AS {kind}) = {stored} AND abs(TRY_CAST({stored} AS DOUBLE)) < {bound}"
    return f"CASE typeof({stored}) WHEN 'VARCHAR' THEN {digits} ELSE {whole} END"


def _has_one_text(stored: str) -> str:
    return f"NOT (typeof({stored}) IN ('FLOAT', 'DOUBLE') OR typeof({stored}) LIKE 'DECIMAL%')"


def refuse_alike(columns: Iterable[str]) -> None:
    """DuckDB's identifiers ignore case: of two columns that differ only by it, one would be read twice.

    Raises:
        BadInput: there are two; names both.
    """
    seen: dict[str, str] = {}
    for column in columns:
        other = seen.setdefault(column.lower(), column)
        if other != column:
            raise BadInput(f"columns {other} and {column} differ only by case", fix="Rename one, in data and view")
