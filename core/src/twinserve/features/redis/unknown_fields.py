"""Fields that no definition knows, left in a Redis by a release that noted nothing: found once.

What a view's rows consist of is noted since decision 31 (`twinserve.features.redis.written_fields`). A feature that was
renamed or removed before that has left its field in each hash, of whose name only a digest is there: it would be read
by a contract of then, beside an event time of now. So the hashes of the join keys of today are looked through once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from twinserve.features.redis.hash_scan import pages_of_hashes
from twinserve.features.redis.layout import event_time_field, feature_field
from twinserve.features.redis.written_fields import fields_by_view

logger = logging.getLogger(__name__)
_FIELD = 4  # bytes of a feature's field


class UnknownFields:
    """Those of one project in a Redis or a cluster."""

    def __init__(self, client: Any, project: str) -> None:
        self._client, self._project = client, project
        self._note = f"twinserve:searched:{project}"

    @property
    def sought(self) -> bool:
        """Whether this Redis has been looked through."""
        return bool(self._client.exists(self._note))

    def remove(self, views: Iterable[Any], config: Any) -> int:
        """Look once; killed before the end, the next call begins anew. Gives the number of keys that had any.

        Args:
            views: all of the registry, on-demand ones too, which Feast may write under the same keys.
        """
        if self.sought:
            return 0
        views = list(views)
        known = {field for view in views if getattr(view, "online", True) for field in _fields(view)}
        online = fields_by_view([view for view in views if hasattr(view, "online")], config).values()
        found = sum(self._removed(dict(keys), known) for keys in {tuple(sorted(each.keys.items())) for each in online})
        if found:
            logger.warning(
                "%d keys in the online store had fields that no definition has, left by an earlier release when a "
                "feature was renamed or removed: these are gone. A service whose contract reads one answers `unknown`",
                found,
            )
        self._client.set(self._note, 1)
        return found

    def _removed(self, keys: dict[str, str], known: set[bytes]) -> int:
        found = 0
        for page in pages_of_hashes(self._client, self._project, keys):
            with self._client.pipeline(transaction=False) as pipe:
                for name in page:
                    pipe.hkeys(name)
                held: list[list[bytes]] = pipe.execute()
                unknown = [[field for field in fields if _is_ours(field) and field not in known] for fields in held]
                for name, fields in zip(page, unknown, strict=True):
                    if fields:
                        pipe.hdel(name, *fields)
                        found += 1
                pipe.execute()
        return found


def _fields(view: Any) -> list[bytes]:
    return [event_time_field(view.name), *(feature_field(view.name, feature.name) for feature in view.features)]


def _is_ours(field: bytes) -> bool:
    """Of Feast's layout; what else somebody keeps in a hash is theirs."""
    return len(field) == _FIELD or field.startswith(b"_ts:")
