"""A source table that changes, the pipeline that reads it, and what both stores then hold, read by code of its own."""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
import redis
import yaml
from killable_steps import Steps
from small_feature_repo import write_feature_repo

from twinserve.features.feast_repo.store import open_store
from twinserve.features.redis.layout import (
    DELETED_MARK,
    decode_event_time,
    decode_value,
    event_time_field,
    feature_field,
    redis_key,
)
from twinserve.features.stored_files.deleted_rows import DELETED
from twinserve.features.stored_files.file_sizes import deletions_of, with_deletions
from twinserve.settings import load_settings

BASE = datetime(2026, 3, 1, tzinfo=UTC)
LOOKBACK = timedelta(minutes=60)
VIEW, PROJECT = "trips", "path"
DEFINITIONS = """
from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.types import Float32, Int64
from twinserve.features.sources import offline_source

shop = Entity(name="shop", join_keys=["shop"], value_type=ValueType.INT64)
trips = FeatureView(
    name="trips", entities=[shop], source=offline_source("trips"),
    schema=[Field(name="shop", dtype=Int64), Field(name="{rate}", dtype=Float32), Field(name="count", dtype=Int64)],
)
ranking = FeatureService(name="ranking", features=[trips])
"""
Identity = tuple[int, datetime, datetime]  # shop, event time, created: what names a row
Values = dict[str, float | int | None]  # stored feature column → value; `GONE` where the row is a mark
Held = tuple[float | None, int | None, bool]  # rate, count, whether it is a mark
GONE = "gone"


@dataclass(frozen=True)
class Row:
    """One row of the source."""

    shop: int
    event: datetime
    created: datetime
    rate: float | None
    count: int
    gone: bool = False

    @property
    def identity(self) -> Identity:
        """What names it."""
        return self.shop, self.event, self.created

    @property
    def values(self) -> Held:
        """Of a row that says that its shop was deleted, no features count."""
        return (None, None, True) if self.gone else (self.rate, self.count, False)


@dataclass
class World:
    """One home, one source, one Redis.

    Attributes:
        rows: of the source, by a number of our own.
        rate: what the definitions call the feature that the source calls `rate`.
        clock: when the next row is written at the source.
        snapshot: whether each run reads all, and rows that are not there are deleted.
    """

    folder: Path
    steps: Steps
    client: redis.Redis
    rows: dict[int, Row] = field(default_factory=dict)
    rate: str = "rate"
    clock: datetime = BASE + timedelta(days=4)
    snapshot: bool = False
    runs: int = 0

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self.client.flushall()
        self.define()

    @property
    def columns(self) -> tuple[str, str]:
        """The features as the definitions name them."""
        return self.rate, "count"

    def define(self) -> None:
        """Write definitions and sources."""
        repo = write_feature_repo(self.folder / "repo", PROJECT, DEFINITIONS.format(rate=self.rate))
        view: dict[str, Any] = {"table": "trips", "deleted": GONE, "checks": {"max_bad_fraction": 1.0}}
        if self.snapshot:
            view |= {"snapshot": "rows", "checks": {"max_bad_fraction": 1.0, "max_deleted_fraction": 1.0}}
        else:
            view["lookback_minutes"] = 60
        if self.rate != "rate":
            view["rename"] = {"rate": self.rate}
        (repo / "sources.yaml").write_text(yaml.safe_dump({"views": {VIEW: view}}), encoding="utf-8")

    def tick(self) -> datetime:
        """Now, at the source."""
        self.clock += timedelta(minutes=10)
        return self.clock

    def add(self, row: Row) -> int:
        """A row more."""
        number = max(self.rows, default=0) + 1
        self.rows[number] = row
        return number

    def change(self, number: int, **values: Any) -> None:
        """A row in place."""
        self.rows[number] = replace(self.rows[number], **values)

    def write_source(self) -> None:
        """The table as it is now."""
        file = self.folder / "source.db"
        with sqlite3.connect(file) as database:
            database.execute("DROP TABLE IF EXISTS trips")
            database.execute(
                "CREATE TABLE trips (shop INTEGER, event_timestamp TEXT, created TEXT, rate REAL, count INTEGER, "
                f"{GONE} BOOLEAN)"
            )
            database.executemany(
                "INSERT INTO trips VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (r.shop, f"{r.event:%Y-%m-%d %H:%M:%S}", f"{r.created:%Y-%m-%d %H:%M:%S}", r.rate, r.count, r.gone)
                    for r in self.rows.values()
                ],
            )
        database.close()

    def run(self, *arguments: str, kill_at: int | None = None) -> dict[str, Any] | None:
        """One command; see `Steps.run`."""
        return self.steps.run(
            *arguments,
            kill_at=kill_at,
            TWINSERVE_HOME=str(self.folder / "home"),
            TWINSERVE_FEATURE_REPO=str(self.folder / "repo"),
            TWINSERVE_SOURCE_URL=f"sqlite:///{self.folder / 'source.db'}",
        )

    def offline(self) -> dict[Identity, Values]:
        """Every stored row.

        Raises:
            AssertionError: two rows have one name.
        """
        found: dict[Identity, Values] = {}
        for file in sorted((self.folder / "home" / "offline" / VIEW).glob("day=*/*.parquet")):
            for row in pq.read_table(file, partitioning=None).to_pylist():
                identity = (row.pop("shop"), row.pop("event_timestamp"), row.pop("created"))
                assert identity not in found, f"stored twice: {identity}"
                assert file.parent.name == f"day={identity[1]:%Y-%m-%d}"
                found[identity] = row | ({GONE: 1} if row.pop(DELETED, None) else {})
        return found

    def held(self, row: Values) -> Held:
        """What a stored row says."""
        rate, count = (row.get(name) for name in self.columns)
        return rate, count if count is None else int(count), GONE in row

    def remove_day(self, day: date) -> None:
        """One day's folder of the offline store."""
        shutil.rmtree(self.folder / "home" / "offline" / VIEW / f"day={day}")

    def take_out(self, day: date, shop: int) -> None:
        """A shop's rows of one day, as whoever deletes rows does; a file that loses all stays, empty."""
        for file in sorted((self.folder / "home" / "offline" / VIEW / f"day={day}").glob("*.parquet")):
            rows, deletions = pq.read_table(file, partitioning=None), deletions_of(file)
            left = rows.filter(pc.not_equal(rows["shop"], shop))
            pq.write_table(with_deletions(left, deletions + 1), file)

    def offline_bytes(self) -> dict[str, bytes]:
        """The files of the offline store."""
        place = self.folder / "home" / "offline" / VIEW
        return {str(file.relative_to(place)): file.read_bytes() for file in place.rglob("*.parquet")}

    def joined(self, asked: list[tuple[int, datetime]]) -> list[Values]:
        """The features of shops as they stood at moments, by the join that training and batch have."""
        self.run("apply")
        entities = pd.DataFrame(asked, columns=["shop", "event_timestamp"])
        settings = load_settings(home=self.folder / "home", feature_repo=self.folder / "repo")
        store = open_store(settings, self.steps.environment["TWINSERVE_REDIS_URL"])
        job = store.get_historical_features(entities, store.get_feature_service("ranking"))
        rows: list[Values] = job.to_arrow().select(list(self.columns)).to_pylist()
        return rows

    def online(self, shop: int) -> tuple[datetime, Values] | None:
        """Event time and values of a key; a feature that has no field is left out. A mark has no values.

        Raises:
            AssertionError: there are fields that the definitions don't have.
        """
        held: dict[bytes, bytes] = self.client.hgetall(redis_key(PROJECT, {"shop": ("INT64", shop)}))  # type: ignore[assignment, arg-type]
        if not held:
            return None
        time = held.pop(event_time_field(VIEW))
        at = BASE.fromtimestamp(decode_event_time(time.removesuffix(DELETED_MARK)) / 1e6, UTC)
        names = {feature_field(VIEW, name): name for name in self.columns}
        assert set(held) <= set(names), "fields of features that are gone"
        values = {names[key]: decode_value(value) for key, value in held.items()}
        return (at, {GONE: 1} | values) if time.endswith(DELETED_MARK) else (at, values)  # type: ignore[operator, return-value]
