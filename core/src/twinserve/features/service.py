"""A feature service, as the registry knows it, in plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twinserve.errors import StepMissing
from twinserve.features.declared import declared_view
from twinserve.features.feast_errors import feast_errors
from twinserve.features.views import DeclaredView, ServedFeature, ServiceSpec

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
    features: list[ServedFeature] = []
    keys: dict[str, str] = {}
    for part in parts:
        view = declared_view(store.get_feature_view(part.name))
        features += _served(view, part)
        keys |= {part.join_key_map.get(key.name, key.name): key.kind for key in view.keys}
    return ServiceSpec(store.project, name, dict(sorted(keys.items())), tuple(features))


def _served(view: DeclaredView, projection: Any) -> list[ServedFeature]:
    name, renamed = projection.name_to_use(), projection.join_key_map
    own_keys = tuple(key.name for key in view.keys)
    keys = tuple(renamed.get(key, key) for key in own_keys)
    kinds = {feature.name: feature.kind for feature in view.features}
    own_name = view.name if name != view.name else None
    return [
        ServedFeature(name, f.name, kinds[f.name], view.ttl_seconds, keys, own_name, own_keys if renamed else None)
        for f in projection.features
    ]
