"""How stored columns and files are written in DuckDB SQL."""

from __future__ import annotations

from collections.abc import Iterable

from twinserve.errors import BadInput
from twinserve.values.value_types import VALUE_TYPES

# Feast value type -> DuckDB type. What is not here (lists, maps, …) is passed through as stored.
DUCKDB_TYPES = {name: kind.duckdb for name, kind in VALUE_TYPES.items() if kind.duckdb}
_WHOLE = ("INTEGER", "BIGINT")


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
