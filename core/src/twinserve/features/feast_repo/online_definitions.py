"""A change of the definitions, carried through to the rows that a Redis already holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from twinserve.files.locks import one_at_a_time
from twinserve.settings import Settings

if TYPE_CHECKING:
    from feast import FeatureStore


@contextmanager
def definitions_in_redis(store: FeatureStore, settings: Settings) -> Iterator[dict[str, list[str]]]:
    """A block that changes the registry; at its end the rows in the online store lose what is no longer defined.

    That waits for a materialization by the old definitions, which would put it back. What it gives is filled then:
    view → features that were removed.

    Raises:
        RedisError: the Redis does not answer.
    """
    removed: dict[str, list[str]] = {}
    client = redis_of(store)
    if client is None:
        yield removed
        return
    from twinserve.features.redis.unknown_fields import UnknownFields
    from twinserve.features.redis.written_fields import WrittenFields, fields_by_view

    written, unknown = WrittenFields(client, store.project), UnknownFields(client, store.project)
    written.suppose(fields_by_view(registered_views(store), store.config))
    yield removed
    views = fields_by_view(registered_views(store), store.config)
    versions = has_versions(store.config)
    alone = one_at_a_time(settings.home / "locks" / "materialize")
    search = not (versions or unknown.sought)
    with alone if search or written.lacks(views, all_there_are=not versions) else nullcontext():
        removed |= written.bring_in_line(views, all_there_are=not versions)
        if search:
            unknown.remove(store.list_all_feature_views(), store.config)


def remove_what_is_not_defined(store: FeatureStore) -> None:
    """The same where the registry was changed by other hands, Feast's command line for one."""
    from twinserve.features.redis.unknown_fields import UnknownFields
    from twinserve.features.redis.written_fields import WrittenFields, fields_by_view

    if client := redis_of(store):
        views, versions = fields_by_view(registered_views(store), store.config), has_versions(store.config)
        WrittenFields(client, store.project).bring_in_line(views, all_there_are=not versions)
        if not versions:
            UnknownFields(client, store.project).remove(store.list_all_feature_views(), store.config)


def registered_views(store: FeatureStore) -> list[Any]:
    """All feature views of the registry whose rows are written to stores; on-demand ones have none."""
    from feast import FeatureView

    return [view for view in store.list_all_feature_views() if isinstance(view, FeatureView)]


def redis_of(store: FeatureStore) -> Any:
    """A client of the Redis or the cluster that is the online store; None where that is another one."""
    from feast.infra.online_stores.redis import RedisOnlineStore

    online_store = store._get_provider().online_store
    return online_store._get_client(store.config.online_store) if isinstance(online_store, RedisOnlineStore) else None


def has_versions(config: Any) -> bool:
    """Whether earlier versions of a view stay readable under names of their own, which the registry does not list."""
    return bool(config.registry.enable_online_feature_view_versioning)
