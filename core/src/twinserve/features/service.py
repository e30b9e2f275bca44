"""A feature service, as the registry knows it, in plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twinserve.errors import StepMissing
from twinserve.features.feast_errors import feast_errors
from twinserve.features.redis_layout import DUMMY_KEY
from twinserve.features.views import ServedFeature, ServiceSpec

if TYPE_CHECKING:
    from feast import FeatureStore


def describe_service(store: FeatureStore, name: str) -> ServiceSpec:
    """Look a feature service up in the registry.

    Raises:
        StepMissing: it, or a feature view that it names, is not registered.
        TransientError: the registry's database can't be reached.
    """
    from feast.errors import FeastObjectNotFoundException

    try:
        with feast_errors():
            return _described(store, name)
    except FeastObjectNotFoundException as error:
        fix = "Run `data-pipeline apply`, and compare the name with the feature repo"
        raise StepMissing(f"feature service {name!r} is not in the registry: {error}", fix=fix) from error


def _described(store: FeatureStore, name: str) -> ServiceSpec:
    parts = store.get_feature_service(name).feature_view_projections
    features = [feature for part in parts for feature in _served(store, part)]
    keys = {key: kind for part in parts for key, kind in _join_keys(store, part).items()}
    return ServiceSpec(store.project, name, dict(sorted(keys.items())), tuple(features))


def _served(store: FeatureStore, projection: Any) -> list[ServedFeature]:
    view = store.get_feature_view(projection.name)
    ttl = int(view.ttl.total_seconds()) if view.ttl else None
    keys = tuple(_join_keys(store, projection))
    own_name = projection.name if projection.name_to_use() != projection.name else None
    own_keys = tuple(column.name for column in _own_keys(view)) if projection.join_key_map else None
    return [
        ServedFeature(projection.name_to_use(), f.name, f.dtype.to_value_type().name, ttl, keys, own_name, own_keys)
        for f in projection.features
    ]


def _join_keys(store: FeatureStore, projection: Any) -> dict[str, str]:
    view = store.get_feature_view(projection.name)
    renamed = projection.join_key_map
    return {renamed.get(c.name, c.name): c.dtype.to_value_type().name for c in _own_keys(view)}


def _own_keys(view: Any) -> list[Any]:
    """Without the key that Feast gives to a view that has none."""
    return [column for column in view.entity_columns if column.name != DUMMY_KEY]
