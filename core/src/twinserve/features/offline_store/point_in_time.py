"""What the point-in-time join means, and what it needs to know of a view.

The join keeps every entity row, in order. For each it takes the feature row with the same keys and the greatest
event time not after the row's own; among rows of one event time the last created, among those the one written
last: the last row of the last file by name. So a row pushed to a day counts against the published one. Its features
count only when that event time is at most the view's TTL before the row's. This is Feast's meaning, as its
documentation of point-in-time joins and TTL states it; the property tests hold it against brute force.

Times are compared as whole microseconds since 1970 UTC, free of the session's time zone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pyarrow as pa

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
