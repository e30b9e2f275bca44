"""Point-in-time join and latest-row-per-key as DuckDB SQL.

The join keeps every entity row, in order. For each it takes the feature row with the same keys and the greatest
event time not after the row's own; among rows of one event time the last created, among those the greatest
values, so that the answer never depends on the order of files. Its features count only when that event time is
at most the view's TTL before the row's. This is Feast's meaning, as its documentation of point-in-time joins and
TTL states it; the property tests hold it against brute force.

Times are compared as whole microseconds since 1970 UTC, free of the session's time zone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

# Feast value type -> DuckDB type. What is not here (lists, maps, …) is passed through as stored.
DUCKDB_TYPES = {
    "INT32": "INTEGER",
    "INT64": "BIGINT",
    "FLOAT": "FLOAT",
    "DOUBLE": "DOUBLE",
    "BOOL": "BOOLEAN",
    "STRING": "VARCHAR",
    "BYTES": "BLOB",
    "UNIX_TIMESTAMP": "TIMESTAMPTZ",
}
ROW = "__row"
ASKED = "__asked"
AT = "__at"
EVENT_TIME_SUFFIX = "__event_timestamp"


@dataclass(frozen=True)
class JoinedView:
    """One feature view as the join needs it.

    Attributes:
        name: names the output column `<name>__event_timestamp`.
        relation: SQL of the feature rows, for example `read_parquet([...])`.
        keys: stored column → (entity column, Feast type).
        features: output column → (stored column, Feast type).
    """

    name: str
    relation: str
    keys: dict[str, tuple[str, str]]
    features: dict[str, tuple[str, str]]
    timestamp: str
    created: str | None
    ttl: timedelta | None


def join_sql(
    entities: str, columns: list[str], timestamp: str, views: list[JoinedView], *, event_times: bool = False
) -> str:
    """SQL that gives `columns` of the entity rows followed by every feature, in entity row order.

    Args:
        entities: SQL of a relation with `columns` and the row number `__row`.
        timestamp: the entity rows' event time column; without a zone it is UTC.
        event_times: add per view the time of the matching feature row, expired or not (null: there was none).
    """
    asked = f"SELECT *, {_micros(timestamp)} AS {ASKED} FROM {entities}"
    parts = [f"entity AS ({asked})", *(f"v{i} AS ({_candidates(view)})" for i, view in enumerate(views))]
    chosen = [f"entity.{quoted(column)}" for column in columns]
    for i, view in enumerate(views):
        chosen += [
            f"CASE WHEN {_fresh(i, view)} THEN v{i}.f{j} END AS {quoted(name)}" for j, name in enumerate(view.features)
        ]
        if event_times:
            chosen.append(f"make_timestamptz(v{i}.{AT}) AS {quoted(view.name + EVENT_TIME_SUFFIX)}")
    joins = [f"ASOF LEFT JOIN v{i} ON {_condition(i, view)}" for i, view in enumerate(views)]
    return f"WITH {', '.join(parts)} SELECT {', '.join(chosen)} FROM entity {' '.join(joins)} ORDER BY entity.{ROW}"


def latest_sql(
    relation: str,
    keys: dict[str, str],
    features: dict[str, str],
    timestamp: str,
    created: str | None,
    where: str,
) -> str:
    """SQL that gives the latest row of each key: keys, features, event time and created, typed as Feast declares.

    Args:
        keys: stored column → Feast type.
        features: stored column → Feast type.
        where: SQL condition on the stored rows; `true` for all.
    """
    times = {timestamp: "UNIX_TIMESTAMP", **({created: "UNIX_TIMESTAMP"} if created else {})}
    columns = [f"{typed(column, kind)} AS {quoted(column)}" for column, kind in {**keys, **features, **times}.items()]
    order = [f"{_micros(timestamp)} DESC", *_tie_break(created, list(features.items()))]
    return (
        f"SELECT {', '.join(columns)} FROM {relation} WHERE {where} AND {quoted(timestamp)} IS NOT NULL QUALIFY "
        f"row_number() OVER (PARTITION BY {', '.join(quoted(key) for key in keys)} ORDER BY {', '.join(order)}) = 1"
    )


def parquet_relation(files: list[str]) -> str:
    """`read_parquet` over exactly these files, columns matched by name."""
    names = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
    return f"read_parquet([{names}], hive_partitioning = false, union_by_name = true)"


def quoted(name: str) -> str:
    """A column name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def typed(column: str, feast_type: str) -> str:
    """The stored column, cast to what its Feast type is in DuckDB."""
    kind = DUCKDB_TYPES.get(feast_type)
    return f"CAST({quoted(column)} AS {kind})" if kind else quoted(column)


def _candidates(view: JoinedView) -> str:
    """One row per key and event time: the one that wins the ties."""
    keys = [f"{typed(column, kind)} AS k{i}" for i, (column, (_, kind)) in enumerate(view.keys.items())]
    features = [f"{typed(column, kind)} AS f{i}" for i, (column, kind) in enumerate(view.features.values())]
    group = ", ".join([*(f"k{i}" for i in range(len(keys))), AT])
    ties = _tie_break(view.created, list(view.features.values()))
    pick = f"QUALIFY row_number() OVER (PARTITION BY {group} ORDER BY {', '.join(ties)}) = 1" if ties else ""
    return (
        f"SELECT {', '.join([*keys, *features])}, {_micros(view.timestamp)} AS {AT} "
        f"FROM {view.relation} WHERE {quoted(view.timestamp)} IS NOT NULL {pick}"
    )


def _tie_break(created: str | None, features: list[tuple[str, str]]) -> list[str]:
    last = [f"{_micros(created)} DESC NULLS LAST"] if created else []
    return last + [f"{typed(column, kind)} DESC NULLS LAST" for column, kind in features]


def _condition(i: int, view: JoinedView) -> str:
    equal = [
        f"{typed_entity(entity_column, kind)} = v{i}.k{j}" for j, (entity_column, kind) in enumerate(view.keys.values())
    ]
    return " AND ".join([*equal, f"entity.{ASKED} >= v{i}.{AT}"])


def typed_entity(column: str, feast_type: str) -> str:
    """The entity's column, cast like the stored key that it is compared with."""
    kind = DUCKDB_TYPES.get(feast_type)
    return f"CAST(entity.{quoted(column)} AS {kind})" if kind else f"entity.{quoted(column)}"


def _fresh(i: int, view: JoinedView) -> str:
    if view.ttl is None:
        return f"v{i}.{AT} IS NOT NULL"
    return f"entity.{ASKED} - v{i}.{AT} <= {view.ttl // timedelta(microseconds=1)}"


def _micros(column: str) -> str:
    return f"epoch_us(CAST({quoted(column)} AS TIMESTAMPTZ))"
