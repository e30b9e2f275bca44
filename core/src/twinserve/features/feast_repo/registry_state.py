"""What Feast's registry holds, asked without Feast, whose import takes seconds."""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from twinserve.contract import Contract
from twinserve.features.feast_repo.store import store_config
from twinserve.features.redis.layout import varint
from twinserve.settings import Settings

logger = logging.getLogger(__name__)
NO_REDIS = "redis://unused:6379/0"  # where only the registry is asked; never connected to
# fields of Feast's messages `FeatureView` and `FeatureService`, `FeatureServiceSpec` and `FeatureViewSpec`
SPEC, PROJECTIONS = 1, 3
# sources, which carry the time of the last apply or materialize, and which no check looks at; a view's project
VIEW_WITHOUT, PROJECTION_WITHOUT = {2, 7, 9}, {8, 9}
CHECKED = b"2"  # changes with what the check refuses: an answer from before is asked for again
# what a join of a service goes by, as fields of the same messages, of `FeatureSpecV2`, `DataSource` and `FileOptions`
_FEATURE: dict[int, Any] = {1: {}, 2: {}}
_SOURCE: dict[int, Any] = {2: {}, 3: {}, 5: {}, 11: {2: {}}}
_PROJECTION: dict[int, Any] = {1: {}, 2: _FEATURE, 3: {}, 4: {}}
_VIEW: dict[int, Any] = {1: {}, 3: {}, 4: _FEATURE, 6: {}, 7: _SOURCE, 12: _FEATURE}
SQLITE = "sqlite:///"
DIGITS = 16  # of a digest that a message may show
_SERVICE = (
    "SELECT feature_service_proto FROM feature_services WHERE project_id = :project AND feature_service_name = :service"
)
_VIEWS = "SELECT feature_view_proto FROM feature_views WHERE project_id = :project ORDER BY feature_view_name"
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_WIDTH = {_FIXED64: 8, _FIXED32: 4}


def registry_state(settings: Settings, contract: Contract) -> str | None:
    """A digest of all that the contract's check against its feature service goes by; None if it can't be told.

    It covers the contract, `feature_store.yaml`, and the definitions of the contract's feature service and of every
    feature view of the project, as Feast's SQL registry stores them. Materializing does not change it.
    """
    try:
        config = store_config(settings, NO_REDIS)
        registry = config["registry"]
        if registry["registry_type"] != "sql":
            return None
        stored = _stored(registry["path"], config["project"], contract.feature_service)
        parts = [CHECKED, contract.to_json().encode(), _text(registry), _text(config["project"]), *stored]
        total = hashlib.sha256()
        for part in parts:
            total.update(hashlib.sha256(part).digest())
        return total.hexdigest()
    except Exception as error:  # whatever it is: Feast is asked then, which says it better
        logger.debug("Feast's registry was not read: %s: %s", type(error).__name__, error)
        return None


def joined_definitions(settings: Settings, service: str) -> str | None:
    """A digest of what the join of a feature service goes by, as Feast's SQL registry has it; None if it can't be told.

    It covers the features, keys, types, TTLs and sources of the views that the service names, and what it renames;
    neither other views nor descriptions, tags and owners. A source below `TWINSERVE_HOME` counts by its place in it.
    """
    try:
        config = store_config(settings, NO_REDIS)
        registry = config["registry"]
        if registry["registry_type"] != "sql":
            return None
        return _joined(registry["path"], config["project"], service, settings)
    except Exception as error:  # whatever it is: the step that opens Feast says it better
        logger.debug("Feast's registry was not read: %s: %s", type(error).__name__, error)
        return None


def _joined(url: str, project: str, service: str, settings: Settings) -> str | None:
    found, views = _asked(url, project, service)
    if not found:
        return None
    projections = [part for each in found for spec in _field(bytes(each), SPEC) for part in _field(spec, PROJECTIONS)]
    named = {_field(part, 1)[0] for part in projections}
    specs = [spec for each in views for spec in _field(bytes(each), SPEC) if _field(spec, 1)[0] in named]
    content = [[_chosen(part, _PROJECTION) for part in projections], [_chosen(spec, _VIEW) for spec in specs]]
    home = repr(str(settings.home).encode())[2:-1]
    return hashlib.sha256(repr(content).replace(home, "").encode()).hexdigest()[:DIGITS]


def _chosen(message: bytes, wanted: dict[int, Any]) -> list[tuple[int, Any]]:
    """These fields, nested ones as `wanted` nests, in one order: a map's entries have none of their own."""
    found = [(n, whole, content) for n, whole, content in _fields(message) if n in wanted]
    # a number has its value in the whole; of a text the whole has its length too, which a path's beginning changes
    parts = [(n, _chosen(content, wanted[n]) if wanted[n] else content or whole) for n, whole, content in found]
    return sorted(parts, key=repr)


def _stored(url: str, project: str, service: str) -> list[bytes]:
    """What is defined, in the order of the names."""
    found, views = _asked(url, project, service)
    parts = [part for each in found for part in _projections(bytes(each))]
    return parts + [_without(spec, VIEW_WITHOUT) for each in views for spec in _field(bytes(each), SPEC)]


def _asked(url: str, project: str, service: str) -> tuple[list[bytes], list[bytes]]:
    """The messages of the service, if there is one, and those of the project's views. A file needs no SQLAlchemy."""
    named = {"project": project, "service": service}
    if url.startswith(SQLITE) and Path(url.removeprefix(SQLITE)).is_file():
        with closing(sqlite3.connect(url.removeprefix(SQLITE))) as file:
            service_rows, view_rows = file.execute(_SERVICE, named).fetchall(), file.execute(_VIEWS, named).fetchall()
        return [message for (message,) in service_rows], [message for (message,) in view_rows]
    from sqlalchemy import create_engine, text
    from sqlalchemy.pool import NullPool

    with create_engine(url, poolclass=NullPool).connect() as connection:
        return (
            [*connection.execute(text(_SERVICE), named).scalars()],
            [*connection.execute(text(_VIEWS), named).scalars()],
        )


def _projections(service: bytes) -> Iterator[bytes]:
    for spec in _field(service, SPEC):
        yield _without(spec, {PROJECTIONS})
        yield from (_without(part, PROJECTION_WITHOUT) for part in _field(spec, PROJECTIONS))


def _field(message: bytes, wanted: int) -> list[bytes]:
    """The contents of one length-delimited field of a serialized protobuf message."""
    return [content for number, _, content in _fields(message) if number == wanted]


def _without(message: bytes, fields: set[int]) -> bytes:
    return b"".join(whole for number, whole, _ in _fields(message) if number not in fields)


def _fields(message: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Number, bytes and content of each field of a serialized protobuf message."""
    position = 0
    while position < len(message):
        begin = position
        tag, position = varint(message, position)
        kind, size = tag & 7, _WIDTH.get(tag & 7, 0)
        if kind in (_VARINT, _LENGTH):
            number, position = varint(message, position)
            size = number if kind == _LENGTH else 0
        elif not size:
            raise ValueError(f"a protobuf field of kind {kind}")
        content = message[position : position + size]
        position += size
        yield tag >> 3, message[begin:position], content


def _text(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, default=str).encode()
