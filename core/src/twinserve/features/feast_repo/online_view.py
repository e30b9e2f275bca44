"""A feature view as it is written to Redis, as plain values without Feast."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from feast.infra.online_stores.helpers import compute_versioned_name

from twinserve.features.feast_repo.declared import declared_view

# Which of a key's rows goes to Redis. A change of the rule takes another number: the next materialize then goes through
# all files anew. 2: of rows that tie the one written last, no longer the one with the greatest values.
CHOICE = 2


@dataclass(frozen=True)
class OnlineView:
    """What goes where.

    Attributes:
        name: the view's name in Redis, with the version behind it where the registry keeps several.
        keys: join key → (stored column, Feast type name); empty for a view without entities.
        features: feature → (stored column, Feast type name).
        timestamp: stored column with the event time.
        created: stored column with the time at which the source wrote the row, if there is one.
        expiry: seconds after which Redis forgets a key that is not written again; 0 for never.
    """

    project: str
    name: str
    keys: dict[str, tuple[str, str]]
    features: dict[str, tuple[str, str]]
    timestamp: str
    created: str | None
    expiry: int

    @property
    def stored_keys(self) -> dict[str, str]:
        """Stored column → Feast type name."""
        return dict(self.keys.values())

    @property
    def stored_features(self) -> dict[str, str]:
        """Stored column → Feast type name."""
        return dict(self.features.values())

    @property
    def digest(self) -> str:
        """Tells definitions apart of which the bytes in Redis differ, and releases that choose other rows."""
        return hashlib.sha256(f"{CHOICE} {self!r}".encode()).hexdigest()


def online_view(view: Any, config: Any) -> OnlineView:
    """A `feast.FeatureView` under this `feast.RepoConfig`."""
    declared = declared_view(view)
    return OnlineView(
        project=config.project,
        name=compute_versioned_name(view, config.registry.enable_online_feature_view_versioning),
        keys={key.name: (key.stored, key.kind) for key in declared.keys},
        features={feature.name: (feature.stored, feature.kind) for feature in declared.features},
        timestamp=declared.timestamp,
        created=declared.created,
        expiry=getattr(config.online_store, "key_ttl_seconds", None) or 0,
    )
