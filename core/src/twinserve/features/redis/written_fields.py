"""Which features of which views a Redis was given; what no definition has any more is removed from it.

Feast's layout has one event time for all features of a view and key. A field that a change of the definitions left
behind would seem as new as the row that is written beside it next, and a model that still reads it would score a row
that never was. So what is written is noted, and a field goes before anything is written without it: when the
definitions are applied, and before each materialization. Feast itself removes the fields of a view that is gone, never
those of a view that stays.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from feast.feature_view import DUMMY_ENTITY_ID
from feast.infra.online_stores.helpers import compute_versioned_name

from twinserve.features.redis.hash_scan import pages_of_hashes
from twinserve.features.redis.layout import event_time_field, feature_field

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fields:
    """What rows of one view consist of: join key → Feast type, and the features' names."""

    keys: Mapping[str, str]
    features: tuple[str, ...]

    def to_json(self) -> str:
        """The form that is kept."""
        return json.dumps({"keys": dict(self.keys), "features": list(self.features)})

    @classmethod
    def from_json(cls, text: bytes) -> Fields:
        """What `to_json` made."""
        held = json.loads(text)
        return cls(held["keys"], tuple(held["features"]))


def fields_by_view(views: Iterable[Any], config: Any) -> dict[str, Fields]:
    """The fields of those `feast.FeatureView`s that go to the online store, by the view's name there."""
    return {
        compute_versioned_name(view, config.registry.enable_online_feature_view_versioning): Fields(
            {c.name: c.dtype.to_value_type().name for c in view.entity_columns if c.name != DUMMY_ENTITY_ID},
            tuple(field.name for field in view.features),
        )
        for view in views
        if view.online
    }


class WrittenFields:
    """What the hashes of one project hold, as noted in the same Redis.

    Args:
        client: of the Redis, or of the cluster, that is the online store.
    """

    def __init__(self, client: Any, project: str) -> None:
        self._client, self._project = client, project
        self._notes = f"twinserve:written:{project}"

    def suppose(self, views: Mapping[str, Fields]) -> None:
        """Views of which nothing is noted were written as these definitions say: by Feast, or by an older version."""
        for name, fields in views.items():
            self._client.hsetnx(self._notes, name, fields.to_json())

    def bring_in_line(self, views: Mapping[str, Fields], *, all_there_are: bool) -> dict[str, list[str]]:
        """Remove what these definitions lack, then note them. Killed in between, the next call does the same again.

        Args:
            views: by their names in the online store.
            all_there_are: a view that is noted and not among these is gone.

        Returns:
            View → features that were removed from the rows of at least one key.
        """
        removed: dict[str, list[str]] = {}
        for name, held in self._noted().items():
            if name in views or all_there_are:
                gone, stamp = _difference(held, views.get(name))
                if (gone or stamp) and self._removed(name, held, gone, stamp=stamp):
                    removed[name] = sorted(gone)
            if name not in views and all_there_are:
                self._client.hdel(self._notes, name)
        for name, fields in views.items():
            self._client.hset(self._notes, name, fields.to_json())
        for name, features in removed.items():
            logger.warning(
                "removed from the online store, since the definitions no longer have it: %s: %s. "
                "A service whose contract reads it answers `unknown`", name, ", ".join(features) or "no feature",
            )  # fmt: skip
        return removed

    def lacks(self, views: Mapping[str, Fields], *, all_there_are: bool) -> bool:
        """Whether `bring_in_line` would look for something to remove."""
        noted = self._noted()
        changed = any(any(_difference(noted[name], fields)) for name, fields in views.items() if name in noted)
        return changed or (all_there_are and bool(noted.keys() - views.keys()))

    def _noted(self) -> dict[str, Fields]:
        notes: dict[bytes, bytes] = self._client.hgetall(self._notes)
        return {name.decode(): Fields.from_json(text) for name, text in notes.items()}

    def _removed(self, view: str, held: Fields, gone: set[str], *, stamp: bool) -> int:
        fields = [feature_field(view, feature) for feature in sorted(gone)]
        return delete_fields(
            self._client,
            pages_of_hashes(self._client, self._project, held.keys),
            [*fields, event_time_field(view)] if stamp else fields,
        )


def delete_fields(client: Any, pages: Iterable[list[bytes]], fields: list[bytes]) -> int:
    """Delete these fields of all these hashes; a hash without any is gone. How many fields there were."""
    deleted = 0
    for page in pages:
        with client.pipeline(transaction=False) as pipe:
            for name in page:
                for part in _parts(fields):
                    pipe.hdel(name, *part)
            deleted += sum(pipe.execute())
    return deleted


def _parts(fields: list[bytes]) -> Iterator[list[bytes]]:
    return (fields[first : first + 1000] for first in range(0, len(fields), 1000))


def _difference(held: Fields, now: Fields | None) -> tuple[set[str], bool]:
    """Features to remove from the hashes of `held`, and whether the event time goes with them."""
    if now is None or dict(now.keys) != dict(held.keys):
        return set(held.features), True
    return set(held.features) - set(now.features), False
