"""Feature rows of one view, and the view, for tests of the join."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from twinserve.features.offline_store.point_in_time import JoinedView
from twinserve.features.stored_files.deleted_rows import DELETED

START = datetime(2024, 3, 30, tzinfo=UTC)  # the night in which Europe changes its clocks follows
VIEW = JoinedView(
    name="v",
    path=Path("stored.parquet"),
    keys={"id": ("id", "INT64")},
    features={"a": "a", "b": "b"},
    types={"a": pa.float32(), "b": pa.float64()},
    timestamp="ts",
    created="made",
    ttl=None,
)


def at(hour: int, microseconds: int = 0) -> datetime:
    return START + timedelta(hours=hour, microseconds=microseconds)


def is_gone(row: Any) -> bool:
    """Whether a feature row says that its key was deleted."""
    return len(row) > 5 and bool(row[5])


def stored_table(features: list[Any]) -> pa.Table:
    """Feature rows as they lie in the offline store."""
    marks = {DELETED: pa.array([is_gone(row) or None for row in features], pa.bool_())}
    return pa.table(
        {
            "id": pa.array([row[0] for row in features], pa.int64()),
            "ts": pa.array([at(row[1]) for row in features], pa.timestamp("us", tz="UTC")),
            "made": pa.array(
                [None if row[2] is None else at(row[1] + row[2]) for row in features], pa.timestamp("us", tz="UTC")
            ),
            "a": pa.array([row[3] for row in features], pa.float32()),
            "b": pa.array([row[4] for row in features], pa.float64()),
            **(marks if any(map(is_gone, features)) else {}),
        }
    )
