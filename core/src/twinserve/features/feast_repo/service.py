"""A feature service, as the registry knows it, in plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twinserve.errors import BadInput, StepMissing
from twinserve.features.feast_repo.declared import declared_view
from twinserve.features.feast_repo.definition_rules import service_problems
from twinserve.features.feast_repo.feast_errors import feast_errors
from twinserve.features.feast_repo.views import DeclaredView, ServedFeature, ServiceSpec

if TYPE_CHECKING:
    from feast import FeatureStore


def describe_service(store: FeatureStore, name: str) -> ServiceSpec:
    """Look a feature service up in the registry.

    Raises:
        StepMissing: it, or a feature view that it names, is not registered.
        BadInput: it is registered, and asks for what is not served; says what.
        TransientError: the registry's database can't be reached.
    """
    from feast.errors import FeastObjectNotFoundException

    fix = "Run `data-pipeline apply`, and compare the name with the feature repo"
    with feast_errors():
        try:
            service = store.get_feature_service(name)
        except FeastObjectNotFoundException as error:
            raise StepMissing(f"feature service {name!r} is not in the registry: {error}", fix=fix) from error
        try:
            views = {p.name: _any_view(store, p.name) for p in service.feature_view_projections}
        except FeastObjectNotFoundException as error:
            raise StepMissing(
                f"feature service {name!r} reads what is not in the registry: {error}", fix=fix
            ) from error
    if found := service_problems(service, service.feature_view_projections, views):
        raise BadInput(f"it can't be served: {'; '.join(found)}", fix="Change the definitions, then apply them again")
    return _described(store.project, service, {name: declared_view(view) for name, view in views.items()})


def _any_view(store: FeatureStore, name: str) -> Any:
    return store.registry.get_any_feature_view(name, store.project)


def _described(project: str, service: Any, views: dict[str, DeclaredView]) -> ServiceSpec:
    features: list[ServedFeature] = []
    keys: dict[str, str] = {}
    for part in service.feature_view_projections:
        view = views[part.name]
        features += _served(view, part)
        keys |= {part.join_key_map.get(key.name, key.name): key.kind for key in view.keys}
    return ServiceSpec(project, service.name, dict(sorted(keys.items())), tuple(features))


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
