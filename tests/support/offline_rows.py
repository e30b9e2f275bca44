"""Feature rows and entity rows of a small shop, and feature views over them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast import types as ft

START = datetime(2024, 3, 30, tzinfo=UTC)  # the night in which Europe changes its clocks follows
HOUR = timedelta(hours=1)
INSTANT = pa.timestamp("us", tz="UTC")
customer = Entity(name="customer", join_keys=["id"], value_type=ValueType.INT64)
shop = Entity(name="shop", join_keys=["shop"], value_type=ValueType.STRING)
item = Entity(name="item", join_keys=["item"], value_type=ValueType.INT32)
KEYS = [Field(name="id", dtype=ft.Int64), Field(name="shop", dtype=ft.String), Field(name="item", dtype=ft.Int32)]


class Row(NamedTuple):
    """A feature row: keys, hours and microseconds after `START`, hours until it was created, values."""

    id: int | None
    shop: str | None
    item: int | None
    hour: int
    edge: int
    made: int | None
    a: float | None
    b: int | None


class Asked(NamedTuple):
    """An entity row."""

    id: int | None
    shop: str | None
    item: int | None
    hour: int
    edge: int


def at(hour: int, edge: int = 0) -> datetime:
    """Hours and microseconds after `START`."""
    return START + timedelta(hours=hour, microseconds=edge)


def source(folder: Path, created: str = "made", **options: Any) -> FileSource:
    """The rows below `folder`."""
    return FileSource(
        name=f"rows{len(options)}{created}",
        path=str(folder / "rows"),
        timestamp_field="ts",
        created_timestamp_column=created,
        **options,
    )


def view(name: str, folder: Path, entities: list[Entity], ttl: timedelta | None, created: str = "made") -> FeatureView:
    """Features `a` and `b` of the rows, by these entities."""
    names = {entity.join_key for entity in entities}
    return FeatureView(
        name=name,
        entities=entities,
        ttl=ttl or timedelta(0),
        source=source(folder, created),
        schema=[
            *(k for k in KEYS if k.name in names),
            Field(name="a", dtype=ft.Float32),
            Field(name="b", dtype=ft.Int64),
        ],
    )


def definitions(folder: Path) -> list[Any]:
    """Entities, then views: with a TTL, without, by two keys, by none."""
    return [
        customer,
        shop,
        item,
        view("fresh", folder, [customer], 6 * HOUR),
        view("forever", folder, [customer], None, created=""),
        view("pair", folder, [shop, item], 3 * HOUR),
        view("world", folder, [], 2 * HOUR),
    ]


def write_rows(folder: Path, rows: list[Row], parts: int = 2) -> None:
    """As day files, some days in two."""
    (folder / "rows").mkdir(parents=True, exist_ok=True)
    for old in (folder / "rows").rglob("*.parquet"):
        old.unlink()
    for part in range(parts):
        days = {at(row.hour, row.edge).date() for row in rows} or {START.date()}
        for day in days:
            held = [r for i, r in enumerate(rows) if i % parts == part and at(r.hour, r.edge).date() == day]
            target = folder / "rows" / f"day={day}" / f"part-{part}.parquet"
            target.parent.mkdir(exist_ok=True)
            pq.write_table(stored(held), target)


def stored(rows: list[Row]) -> pa.Table:
    """Rows as they lie in the offline store."""
    times = [at(row.hour, row.edge) for row in rows]
    made = [None if r.made is None else t + r.made * HOUR for r, t in zip(rows, times, strict=True)]
    return pa.table(
        {
            "id": pa.array([row.id for row in rows], pa.int64()),
            "shop": pa.array([row.shop for row in rows], pa.string()),
            "item": pa.array([row.item for row in rows], pa.int32()),
            "ts": pa.array(times, INSTANT),
            "made": pa.array(made, INSTANT),
            "a": pa.array([row.a for row in rows], pa.float32()),
            "b": pa.array([row.b for row in rows], pa.int64()),
        }
    )


def entity_frame(asked: list[Asked], zone: str = "UTC") -> pd.DataFrame:
    """Entity rows, numbered by `n`."""
    return pd.DataFrame(
        {
            "n": range(len(asked)),
            "id": pd.array([row.id for row in asked], dtype="Int64"),
            "shop": pd.array([row.shop for row in asked], dtype="object"),
            "item": pd.array([row.item for row in asked], dtype="Int32"),
            "event_timestamp": pd.Series(
                [at(r.hour, r.edge) for r in asked], dtype="datetime64[us, UTC]"
            ).dt.tz_convert(zone),
        }
    )
