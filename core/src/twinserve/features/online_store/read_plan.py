"""What to ask Redis for, made once from a contract: which hashes, which of their fields, and where each value goes.

The features of one entity key lie in one hash, whatever their view. So all views with the same join keys are read
with one HMGET per key; a key that several candidates share is asked for once.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twinserve.contract import Contract, FeatureColumn
from twinserve.errors import PermanentError
from twinserve.features.redis.layout import DUMMY_KEY, Key, dummy_key, event_time_field, feature_field, redis_key

Keys = Mapping[str, Sequence[Key]]

_PACKED = {"INT32": struct.Struct("<i").pack, "INT64": struct.Struct("<q").pack}


@dataclass(frozen=True)
class ViewTimes:
    """One view within a hash.

    Attributes:
        stored: its name in the online store.
        field: place of its event time in the reply.
        columns: places of its features in the reply.
        ttl: µs; None for no limit.
    """

    stored: str
    field: int
    columns: tuple[int, ...]
    ttl: int | None


class HashPlan:
    """All that is read from the hashes of one set of join keys.

    Args:
        names: join keys in the entity rows → name in the online store and Feast type; empty for views without
            entities.
        features: of the contract, with their places in it.

    Attributes:
        outputs: the contract's place of each feature, in the order of the reply.
        features: the feature at each of these places.
        kinds: Feast type → places in the reply.
        views: in the order in which their event times end the reply.
        title: the views by their names in the online store.
    """

    def __init__(self, project: str, names: dict[str, tuple[str, str]], features: dict[int, FeatureColumn]) -> None:
        self.project, self.names = project, names
        self.outputs = list(features)
        self.features = list(features.values())
        self.width = len(self.features)
        self.kinds: dict[str, list[int]] = {}
        for place, feature in enumerate(self.features):
            self.kinds.setdefault(feature.dtype, []).append(place)
        self.views = _views(self.features)
        self.title = ", ".join(view.stored for view in self.views)
        self._single = next(iter(names)) if len(names) == 1 else None
        fields = [feature_field(f.stored_view or f.view, f.name) for f in self.features]
        fields += [event_time_field(view.stored) for view in self.views]
        self._head = b"*%d\r\n" % (2 + len(fields)) + _words(b"HMGET")
        self._fields = _words(*fields)
        self._framed = self._framing()

    def distinct(self, keys: Keys) -> tuple[Sequence[Any], list[int] | None]:
        """The different keys of the candidates, and which of them each candidate has; None if each has its own."""
        if self._single:
            wanted: Sequence[Any] = keys[self._single]
        elif self.names:
            wanted = list(zip(*(keys[name] for name in self.names), strict=True))
        else:
            wanted = [()] * len(next(iter(keys.values())))
        places = dict.fromkeys(wanted)
        if len(places) == len(wanted):
            return wanted, None
        for place, key in enumerate(places):
            places[key] = place
        return list(places), [places[key] for key in wanted]  # type: ignore[misc]

    def request(self, keys: Sequence[Any]) -> bytes:
        """The HMGETs of these keys, as they are sent to a Redis.

        Raises:
            ValueError: a key that its type can't hold.
        """
        prefix, framed, suffix = self._framed
        return prefix + (suffix + prefix).join(framed(keys)) + suffix if keys else b""

    def commands(self, keys: Sequence[Any]) -> list[tuple[bytes, bytes]]:
        """The name of each key's hash, and the HMGET that reads it, for a Redis of many nodes.

        Raises:
            ValueError: a key that its type can't hold.
        """
        names = [self._hash(key) for key in keys]
        return [(name, self._head + _words(name) + self._fields) for name in names]

    def _framing(self) -> tuple[bytes, Callable[[Sequence[Any]], list[bytes]], bytes]:
        """What stands before each key, what makes the keys' own bytes, what stands behind each."""
        kinds = [kind for _, kind in self.names.values()]
        if self._single and kinds[0] in _PACKED:
            pack = _PACKED[kinds[0]]
            zero, width = self._hash(0), len(pack(0))
            tail = self.project.encode()
            start = zero[: len(zero) - len(tail) - width]
            prefix = self._head + b"$%d\r\n" % len(zero) + start
            return prefix, lambda keys: _packed(pack, kinds[0], keys), tail + b"\r\n" + self._fields
        return self._head, lambda keys: [_words(self._hash(key)) for key in keys], self._fields

    def _hash(self, key: Any) -> bytes:
        if not self.names:
            return dummy_key(self.project)
        parts = (key,) if self._single else key
        return redis_key(
            self.project, {name: (kind, part) for (name, kind), part in zip(self.names.values(), parts, strict=True)}
        )


def read_plan(contract: Contract) -> list[HashPlan]:
    """One `HashPlan` for each set of join keys that the contract's views have.

    Raises:
        PermanentError: a feature has a join key that the contract does not name.
    """
    kinds: dict[str, str] = {key.name: key.dtype for key in contract.join_keys}
    groups: dict[tuple[tuple[str, str], ...], dict[int, FeatureColumn]] = {}
    for place, feature in enumerate(contract.features):
        names = zip(feature.join_keys, feature.stored_keys or feature.join_keys, strict=True)
        keys = tuple(sorted(pair for pair in names if pair[1] != DUMMY_KEY))
        if unknown := [name for name, _ in keys if name not in kinds]:
            raise PermanentError(
                f"{feature.view}:{feature.name} has the join key {unknown[0]}, which the contract does not name",
                fix="Register the model again",
            )
        groups.setdefault(keys, {})[place] = feature
    return [
        HashPlan(contract.project, {name: (stored, kinds[name]) for name, stored in keys}, features)
        for keys, features in groups.items()
    ]


def _views(features: list[FeatureColumn]) -> list[ViewTimes]:
    names = list(dict.fromkeys(feature.view for feature in features))
    views = []
    for place, name in enumerate(names):
        columns = tuple(column for column, feature in enumerate(features) if feature.view == name)
        seconds = features[columns[0]].ttl_seconds
        ttl = None if seconds is None else seconds * 1_000_000
        stored = features[columns[0]].stored_view or name
        views.append(ViewTimes(stored, len(features) + place, columns, ttl))
    return views


def _packed(pack: Callable[[Any], bytes], kind: str, keys: Sequence[Any]) -> list[bytes]:
    try:
        return list(map(pack, keys))
    except struct.error:
        bad = next(key for key in keys if not _fits(pack, key))
        raise ValueError(f"{bad!r} is out of the range of {kind}") from None


def _fits(pack: Callable[[Any], bytes], key: Any) -> bool:
    try:
        pack(key)
    except struct.error:
        return False
    return True


def _words(*words: bytes) -> bytes:
    return b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
