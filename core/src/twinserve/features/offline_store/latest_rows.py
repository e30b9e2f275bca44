"""The latest row of each key, as DuckDB SQL that needs no large sort.

Of rows of one key and event time the last created wins, among those the one written last, as in the point-in-time
join: the last row of the last file by name.
"""

from __future__ import annotations

from twinserve.features.stored_files.deleted_rows import DELETED
from twinserve.features.stored_files.sql import quoted, refuse_alike, typed

_AT, _ROWS = "__at", "__rows"
_PLACE = ("file_index", "file_row_number")  # which DuckDB gives for every row of a Parquet file


def latest_sql(
    relation: str,
    keys: dict[str, str],
    features: dict[str, str],
    timestamp: str,
    created: str | None,
    where: str,
    *,
    count: str | None = None,
    deleted: bool = False,
) -> str:
    """SQL that gives the latest row of each key: keys, features, event time and created, typed as Feast declares.

    Two passes and no large sort: the latest event time of each key, by a hash aggregate; then the rows of that
    time, among which alone ties are broken. Both spill. Without keys there is one latest row.

    Args:
        relation: of Parquet files, in the order of their names.
        keys: stored column → Feast type.
        features: stored column → Feast type.
        where: SQL condition on the stored rows; `true` for all.
        count: a further column, with how many stored rows the key has: none of a key that went astray on the way.
        deleted: the files have `DELETED`: it is a column of the result too.

    Raises:
        BadInput: two columns differ only by case.
    """
    at, names = f"CAST({quoted(timestamp)} AS TIMESTAMPTZ)", [quoted(key) for key in keys]
    times = {timestamp: "UNIX_TIMESTAMP", **({created: "UNIX_TIMESTAMP"} if created else {})}
    columns = {**keys, **features, **times}
    refuse_alike(columns)
    columns |= {DELETED: "BOOL"} if deleted else {}
    typed_columns = ", ".join(f"{typed(column, kind)} AS {quoted(column)}" for column, kind in columns.items())
    known = f"FROM {relation} WHERE ({where}) AND {quoted(timestamp)} IS NOT NULL"
    typed_keys = [f"{typed(key, kind)} AS {quoted(key)}" for key, kind in keys.items()]
    newest = f"SELECT {', '.join([*typed_keys, f'max({at}) AS {_AT}', f'count(*) AS {_ROWS}'])} {known} GROUP BY ALL"
    same = [f"f.{key} IS NOT DISTINCT FROM newest.{key}" for key in names] + [f"f.{_AT} = newest.{_AT}"]
    ties = ", ".join(f"f.{column} DESC NULLS LAST" for column in [*([quoted(created)] if created else []), *_PLACE])
    rows = f"SELECT {typed_columns}, {at} AS {_AT}, {', '.join(_PLACE)} {known}"
    part = f"PARTITION BY {', '.join(f'f.{name}' for name in names)} " if names else ""
    counted = f", newest.{_ROWS} AS {quoted(count)}" if count else ""
    return (
        f"SELECT {', '.join(f'f.{quoted(column)}' for column in columns)}{counted} FROM ({rows}) f "
        f"JOIN ({newest}) newest ON {' AND '.join(same)} "
        f"QUALIFY row_number() OVER ({part}ORDER BY {ties}) = 1"
    )
