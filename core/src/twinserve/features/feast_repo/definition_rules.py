"""What Feast's definitions may say and Twinserve does not do: refused by name when they are applied.

What stands in no rule here is honoured in every step, or is a note to readers (`tags`, `description`, `owner`, `org`).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from twinserve.errors import BadInput
from twinserve.features.feast_repo.declared import declared_view
from twinserve.features.feast_repo.views import DeclaredView
from twinserve.features.redis.layout import KEY_TYPES, shared_fields
from twinserve.features.stored_files.deleted_rows import DELETED
from twinserve.features.stored_files.source_files import local_path

if TYPE_CHECKING:
    from feast.repo_contents import RepoContents

OUR_OFFLINE_STORE = "AsofOfflineStore"
_KINDS = {
    "OnDemandFeatureView": "an on-demand feature view",
    "StreamFeatureView": "a stream feature view",
    "LabelView": "a label view",
}
_TRANSFORMS = ("feature_transformation", "aggregations", "source_views", "filter")
_ELSEWHERE = ("s3_endpoint_override", "connection_ref")
_LONGEST = timedelta(days=3_652_500)  # ten thousand years: what Feast's registry can keep


def refuse_unsupported(contents: RepoContents, config: Mapping[str, Any]) -> None:
    """Hold the definitions of a feature repo against what is done with them.

    Args:
        config: the repo's `feature_store.yaml`.

    Raises:
        BadInput: names each definition, what of it is not done, and why.
    """
    others = [*contents.on_demand_feature_views, *contents.stream_feature_views, *contents.label_views]
    views = {view.name: view for view in [*contents.feature_views, *others]}
    found = [*_project(contents, config), *_other_kinds(contents), *_repeated(contents.entities)]
    plain = [view for view in contents.feature_views if view.batch_source is not None]
    found += [f"feature view {v.name} has no source" for v in contents.feature_views if v.batch_source is None]
    ours = str((config.get("offline_store") or {}).get("type", "")).endswith(OUR_OFFLINE_STORE)
    found += [problem for view in plain for problem in view_problems(view, ours=ours)]
    found += collisions(declared_view(view) for view in plain)
    for service in contents.feature_services:
        found += service_problems(service, _projections(service, views), views)
    if found:
        raise BadInput(f"the definitions ask for what is not done: {'; '.join(dict.fromkeys(found))}", fix=_FIX)


_FIX = "Change or remove these; nothing was applied. docs/guide/features.md lists what is supported"


def view_problems(view: Any, *, ours: bool) -> Iterator[str]:
    """What is not done of one `feast.FeatureView`.

    Args:
        ours: whether the offline store is ours.
    """
    from feast.version_utils import parse_version

    name, declared = f"feature view {view.name}", declared_view(view)
    if type(view.stream_source).__name__ in ("KafkaSource", "KinesisSource"):
        yield f"{name} reads the stream {view.stream_source.name}: no topic is read; use its batch source alone"
    if ours and any(getattr(view, part, None) for part in _TRANSFORMS):
        yield f"{name} has a transformation: training and batch would read its source's columns without it"
    if not parse_version(view.version or "latest")[0]:
        yield f"{name} is pinned to version {view.version}: only the latest definition is read"
    yield from _ttl_problems(name, view.ttl)
    names = [field.name for field in [*view.entity_columns, *view.features]]
    if twice := sorted({each for each in names if names.count(each) > 1}):
        yield f"{name} lists {', '.join(twice)} twice"
    stored = [column.stored for column in (*declared.keys, *declared.features)]
    times = [time for time in (declared.timestamp, declared.created) if time]
    if DELETED in (each.lower() for each in (*names, *stored, *times)):  # DuckDB minds no case
        yield f"{name} has a column {DELETED}, the name by which stored rows say that their key was deleted"
    for key in declared.keys:
        if declared.online and key.kind not in KEY_TYPES:
            yield f"join key {key.name} of {name} is {key.kind}: Feast's online store takes {', '.join(KEY_TYPES)}"
    yield from _source_problems(name, view.batch_source, ours=ours)


def _source_problems(name: str, source: Any, *, ours: bool) -> Iterator[str]:
    local = local_path(source, None) is not None
    if ours and not local:
        yield f"{source.name}, the source of {name}, is not Parquet files on this machine"
    for part in _ELSEWHERE:
        if local and getattr(source, part, None):
            yield f"{source.name}, the source of {name}, has {part}, of which files on this machine have no use"


def _ttl_problems(name: str, ttl: timedelta | None) -> Iterator[str]:
    if ttl and (ttl < timedelta(0) or ttl > _LONGEST):
        yield f"the TTL of {name} is {ttl}: give 0 for no limit, or what is above it up to ten thousand years"
    elif ttl and ttl % timedelta(seconds=1):
        yield f"the TTL of {name} is {ttl}: a model's contract keeps whole seconds"


def service_problems(service: Any, projections: Iterable[Any], views: Mapping[str, Any]) -> list[str]:
    """What of a `feast.FeatureService` can't be served.

    Args:
        projections: of the service, references by name among them.
        views: views of every kind by name.
    """
    name = f"feature service {service.name}"
    found = [f"{name} has precompute_online=True: {_PRECOMPUTED}"] if service.precompute_online else []
    served: list[tuple[Any, DeclaredView]] = []
    for part in projections:
        view = views.get(part.name)
        reasons = list(_projection_problems(part, view))
        found += [f"{name} reads {part.name}, {reason}" for reason in reasons]
        if view is not None and not reasons:
            served.append((part, declared_view(view)))
    return [*found, *(f"{name} {problem}" for problem in _clashes(served))]


_PRECOMPUTED = (
    "of Feast's precomputed rows one unknown key fails the whole read, and ages are those of the precomputation, so "
    "that nothing is ever stale"
)


def _projection_problems(part: Any, view: Any) -> Iterator[str]:
    if view is None:
        yield "which no file of the feature repo defines at its top level"
        return
    if kind := _KINDS.get(type(view).__name__):
        yield f"which is {kind}: these are not supported in a feature service yet"
        return
    declared = declared_view(view)
    if not view.online or not declared.online:
        flag = "online=False" if not view.online else "enabled=False"
        yield f"which has {flag}: it is not materialized, so that every key would be unknown online"
    if part.version_tag is not None:
        yield f"pinned to version {part.version_tag}: only the latest definition is read"
    keys = {key.name for key in declared.keys}
    if strangers := sorted(set(part.join_key_map) - keys):
        yield f"and maps {', '.join(strangers)}, which is none of its join keys {', '.join(sorted(keys))}"
    roles = [part.join_key_map.get(key, key) for key in keys]
    if len(set(roles)) < len(roles):
        yield f"and maps two of its join keys to one name: {', '.join(sorted(roles))}"
    if lost := [field.name for field in part.features if field.name not in {f.name for f in declared.features}]:
        yield f"of which {', '.join(lost)} is no feature"


def _clashes(served: list[tuple[Any, DeclaredView]]) -> Iterator[str]:
    """Names that stand for two things within one service."""
    kinds: dict[str, str] = {}
    shown: dict[tuple[str, str], Any] = {}
    for part, view in served:
        for key in view.keys:
            entity = part.join_key_map.get(key.name, key.name)
            other = kinds.setdefault(entity, key.kind)
            if other != key.kind:
                yield f"has the join key {entity} as {other} and as {key.kind}"
        for field in part.features:
            if shown.setdefault((part.name_to_use(), field.name), part) is not part:
                yield f"lists {part.name_to_use()}:{field.name} twice; give one of them another name by with_name"


def collisions(views: Iterable[DeclaredView]) -> list[str]:
    """Features of which Redis would hold one for both: Feast's layout keeps 32 bits of a name."""
    names: dict[tuple[tuple[str, str], ...], list[tuple[str, str]]] = {}
    for view in views:
        if view.online:
            keys = tuple(sorted((key.name, key.kind) for key in view.keys))
            names.setdefault(keys, []).extend((view.name, feature.name) for feature in view.features)
    return [
        f"features {one} and {other} have one field in Redis, whose layout keeps 32 bits of a name: rename one"
        for group in names.values()
        for one, other in shared_fields(group)
    ]


def _other_kinds(contents: RepoContents) -> Iterator[str]:
    for view in contents.stream_feature_views:
        yield f"{view.name} is a stream feature view: no topic is read"
    for view in contents.label_views:
        yield f"{view.name} is a label view: labels are read as params.yaml says"
    for view in contents.on_demand_feature_views:
        if view.write_to_online_store:
            yield f"on-demand feature view {view.name} has write_to_online_store=True: nothing writes it"


def _project(contents: RepoContents, config: Mapping[str, Any]) -> Iterator[str]:
    if strangers := [project.name for project in contents.projects if project.name != config.get("project")]:
        yield f"project {', '.join(strangers)} is not {config.get('project')}, the one of feature_store.yaml"


def _repeated(entities: Iterable[Any]) -> Iterator[str]:
    seen: dict[str, Any] = {}
    for entity in entities:
        other = seen.setdefault(entity.name, entity)
        if (other.join_key, other.value_type) != (entity.join_key, entity.value_type):
            yield f"entity {entity.name} is defined twice, with the join keys {other.join_key} and {entity.join_key}"


def _projections(service: Any, views: Mapping[str, Any]) -> list[Any]:
    """Those of a service before it is applied, when views that are named by a text are not looked up yet."""
    from feast.feature_view_projection import FeatureViewProjection
    from feast.utils import _parse_feature_or_view_ref

    found = list(service.feature_view_projections)
    for reference in service._pending_feature_refs:
        name, version, feature = _parse_feature_or_view_ref(reference)
        view = views.get(name)
        part = copy.copy(view.projection) if view else FeatureViewProjection(name, None, [], [])
        if feature is not None:
            part.features = [field for field in part.features if field.name == feature]
        part.version_tag = version
        found.append(part)
    return found
