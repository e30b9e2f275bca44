"""Which online store `feature_store.yaml` names, and whether it can be read without Feast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Way = Literal["redis", "redis_cluster", "feast"]
_REDIS = ("redis", "feast.infra.online_stores.redis.RedisOnlineStore")
_KEYS = 3  # the version of Feast's entity keys that `redis.layout` writes


def way_to_read(config: Mapping[str, Any]) -> Way:
    """How to read the online store of this configuration.

    Redis in another layout than the usual one, or found by Sentinel, is left to Feast.
    """
    named = config.get("online_store")
    store = named if isinstance(named, Mapping) else {"type": named}
    if store.get("type") not in _REDIS or config.get("entity_key_serialization_version", _KEYS) != _KEYS:
        return "feast"
    registry = config.get("registry")
    if isinstance(registry, Mapping) and registry.get("enable_online_feature_view_versioning"):
        return "feast"
    kind = store.get("redis_type", "redis")
    return kind if kind in ("redis", "redis_cluster") else "feast"
