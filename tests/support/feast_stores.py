"""Feast feature stores over one set of definitions, each with another offline store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from feast import FeatureStore
from feast.repo_config import RepoConfig

OURS = "twinserve.features.offline.AsofOfflineStore"


def open_feast(folder: Path, offline: str, objects: list[Any], **options: Any) -> FeatureStore:
    """A store that needs no server: file registry, SQLite; `objects` applied.

    Args:
        offline: Feast's name of the offline store, `OURS` for the one under test.
        options: further lines of its block in `feature_store.yaml`.
    """
    name = offline.rsplit(".", 1)[-1]
    store = FeatureStore(
        config=RepoConfig(
            project="shop",
            provider="local",
            registry={"path": str(folder / f"{name}-registry.db"), "cache_ttl_seconds": 0},
            offline_store={"type": offline, **options},
            online_store={"type": "sqlite", "path": str(folder / f"{name}-online.db")},
            entity_key_serialization_version=3,
            repo_path=folder,
        )
    )
    store.apply(objects)
    return store
