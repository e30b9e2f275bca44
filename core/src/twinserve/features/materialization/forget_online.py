"""The rows of one entity key in the online store, found and deleted: for a person's right to be forgotten."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from twinserve.errors import BadInput
from twinserve.features.feast_repo.feast_errors import feast_errors
from twinserve.features.feast_repo.online_definitions import redis_of, registered_views
from twinserve.features.feast_repo.online_store_kind import way_to_read
from twinserve.features.feast_repo.online_view import OnlineView, online_view
from twinserve.features.feast_repo.store import open_store, store_config
from twinserve.features.redis.hash_scan import pages_of_hashes
from twinserve.features.redis.layout import event_time_field, feature_field, key_names, redis_key
from twinserve.features.redis.written_fields import delete_fields
from twinserve.settings import Settings
from twinserve.source_values.casting import cast_key
from twinserve.values.value_types import MODEL_KEYS


@dataclass(frozen=True)
class OnlineRows:
    """Attributes:
    hashes: how many the key has, or had before they were deleted.
    unreached: why the online store could not be looked into; empty if it was.
    """

    hashes: int
    unreached: str = ""


def key_value(name: str, text: str, kind: str) -> int | str:
    """A join key's value from a command line, as ingest would read the text.

    Raises:
        BadInput: it is none of this Feast type, or no model's candidates have keys of that type.
    """
    if kind not in MODEL_KEYS:
        raise BadInput(f"the join key {name} is a {kind}", fix=f"Only keys of {', '.join(MODEL_KEYS)} can be forgotten")
    read = cast_key(pa.array([text]), kind)
    if read.wrong[0] or read.values[0].as_py() is None:
        raise BadInput(f"the value given for {name} is no {kind}", fix="Give it as the offline store has it")
    value: int | str = read.values[0].as_py()
    return value


def forget_online(
    settings: Settings, redis_url: str, texts: Mapping[str, str], view: str | None, *, delete: bool
) -> OnlineRows:
    """Find the hashes of all views that have these join keys, or more; with `delete`, they are gone afterwards.

    A service that gives a view or a key another name reads the same hash.

    Args:
        texts: join key → value.
        view: only the fields of this view; the rest of the hash stays.

    Raises:
        TransientError: the online store or the registry can't be reached.
    """
    store = open_store(settings, redis_url)
    client = redis_of(store)
    if client is None or way_to_read(store_config(settings, redis_url)) == "feast":
        return OnlineRows(0, "the online store, which is none in Feast's usual Redis layout")
    with feast_errors():
        registered = [online_view(each, store.config) for each in registered_views(store) if view in (None, each.name)]
        found: set[bytes] = set()
        for each in registered:
            for names in _hashes(client, each, texts):
                page = names if view is None else _with_view(client, names, each)
                found.update(page)
                if delete and page:
                    _delete(client, page, None if view is None else each)
    return OnlineRows(len(found))


def _hashes(client: Any, view: OnlineView, texts: Mapping[str, str]) -> Iterator[list[bytes]]:
    """The names of the view's hashes that there are of the key, a page at a time."""
    kinds = {key: kind for key, (_, kind) in view.keys.items()}
    if not texts.keys() <= kinds.keys():
        return
    values = {name: key_value(name, text, kinds[name]) for name, text in texts.items()}
    if values.keys() == kinds.keys():
        name = redis_key(view.project, {key: (kinds[key], value) for key, value in values.items()})
        yield [name] if client.exists(name) else []
        return
    wanted = {
        name: redis_key("", {name: (kinds[name], value)})[len(key_names([name])) :] for name, value in values.items()
    }
    for page in pages_of_hashes(client, view.project, kinds):
        yield [name for name in page if wanted.items() <= _parts(name, sorted(kinds)).items()]


def _parts(name: bytes, keys: list[str]) -> dict[str, bytes]:
    """Join key → its serialized value, of a hash with these keys."""
    place, parts = len(key_names(keys)), {}
    for key in keys:
        end = place + 8 + struct.unpack_from("<I", name, place + 4)[0]
        parts[key], place = name[place:end], end
    return parts


def _with_view(client: Any, page: list[bytes], view: OnlineView) -> list[bytes]:
    return [name for name in page if client.hexists(name, event_time_field(view.name))]


def _delete(client: Any, page: list[bytes], view: OnlineView | None) -> None:
    if view is None:
        for name in page:
            client.delete(name)
        return
    features = [feature_field(view.name, feature) for feature in view.features]
    delete_fields(client, [page], [*features, event_time_field(view.name)])


def key_aliases(settings: Settings) -> list[dict[str, str]]:
    """Every way in which a feature service renames join keys: name in the view → name in the entity rows."""
    from twinserve.features.feast_repo.definitions import load_definitions

    services = load_definitions(settings).feature_services
    maps = [dict(p.join_key_map) for service in services for p in service.feature_view_projections if p.join_key_map]
    return [found for number, found in enumerate(maps) if found not in maps[:number]]
