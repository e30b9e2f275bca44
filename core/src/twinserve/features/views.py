"""What the rest of the system needs to know of a feature view, as plain values without Feast."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path


@dataclass(frozen=True)
class ViewSpec:
    """One feature view as its definition states it.

    Attributes:
        join_keys: stored column → Feast type name (`INT64`, `STRING`, …), in the order of the definition.
        features: stored column → Feast type name, in the order of the definition.
        path: folder of the view in the offline store, `<path>/day=YYYY-MM-DD/part-0.parquet`.
        timestamp: name of the event time column; stored as microseconds UTC.
        created: name of the column with the time at which the row was written at the source, if there is one.
        ttl: how old a value may be at the moment it is asked for; None for no limit.
    """

    name: str
    join_keys: dict[str, str]
    features: dict[str, str]
    path: Path
    timestamp: str
    created: str | None
    ttl: timedelta | None

    @property
    def columns(self) -> dict[str, str]:
        """Every stored column and its Feast type name: keys, features, event time, created."""
        times = [self.timestamp, *([self.created] if self.created else [])]
        return {**self.join_keys, **self.features, **dict.fromkeys(times, "UNIX_TIMESTAMP")}


@dataclass(frozen=True)
class ServedFeature:
    """One feature of a feature service: which view it comes from, under which name, and how old it may be.

    Attributes:
        stored_view: the view's own name, where the service gives it another.
        stored_keys: the view's own names of `join_keys`, in their order, where the service renames one.
    """

    view: str
    name: str
    dtype: str
    ttl_seconds: int | None
    join_keys: tuple[str, ...]
    stored_view: str | None = None
    stored_keys: tuple[str, ...] | None = None


@dataclass(frozen=True)
class ServiceSpec:
    """A feature service as the registry has it.

    Attributes:
        join_keys: name in the entity rows → Feast type name, sorted by name.
        features: in the order in which the service lists them.
    """

    project: str
    name: str
    join_keys: dict[str, str]
    features: tuple[ServedFeature, ...]
