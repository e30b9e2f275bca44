"""What the rest of the system needs to know of a feature view, as plain values without Feast."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Column:
    """One join key or feature.

    Attributes:
        name: in Feast: in feature references, entity rows and the online store.
        stored: name of the column in the offline store; another one where the source has a `field_mapping`.
        kind: Feast type name (`INT64`, `STRING`, …).
        arrow: the Arrow type that it is read in; None for as it is stored.
    """

    name: str
    stored: str
    kind: str
    arrow: pa.DataType | None


@dataclass(frozen=True)
class DeclaredView:
    """A feature view as Feast reads its definition: what every step's own description of it is made of.

    Attributes:
        keys: in Feast's order: those that the schema lists, then those that only the entities name; none for a view
            without entities.
        features: in the order of the schema.
        timestamp: stored column with the event time.
        created: stored column with the time at which the row was written at the source, if there is one.
        ttl: None for no limit, which Feast also writes as 0.
        online: whether it is materialized and read online.
    """

    name: str
    keys: tuple[Column, ...]
    features: tuple[Column, ...]
    timestamp: str
    created: str | None
    ttl: timedelta | None
    online: bool

    @property
    def ttl_seconds(self) -> int | None:
        """The TTL as a contract has it."""
        return None if self.ttl is None else self.ttl // timedelta(seconds=1)

    def spec(self, path: Path) -> ViewSpec:
        """What the data pipeline needs, for data at `path`."""
        keys = {key.stored: key.kind for key in self.keys}
        features = {feature.stored: feature.kind for feature in self.features}
        names = tuple(key.name for key in self.keys)
        return ViewSpec(self.name, keys, features, path, self.timestamp, self.created, self.ttl, names)


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
        key_names: what Feast calls `join_keys`, in their order; empty where it calls them the same.
    """

    name: str
    join_keys: dict[str, str]
    features: dict[str, str]
    path: Path
    timestamp: str
    created: str | None
    ttl: timedelta | None
    key_names: tuple[str, ...] = ()

    @property
    def keys(self) -> dict[str, str]:
        """Join key as Feast calls it → stored column."""
        return dict(zip(self.key_names or self.join_keys, self.join_keys, strict=True))

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
