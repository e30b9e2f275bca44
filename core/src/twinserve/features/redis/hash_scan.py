"""Finding the hashes of one project and one set of join keys in Redis, whoever wrote them."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from twinserve.features.redis.layout import KEY_TYPES, dummy_key, key_names

PAGE = 1000
_GLOB = re.compile(rb"[*?\[\]\\^]")


def pages_of_hashes(client: Any, project: str, keys: Mapping[str, str]) -> Iterator[list[bytes]]:
    """The names of the hashes with these join keys, a thousand at a time; a name may come twice, as `SCAN` gives it.

    A pattern alone does not do: the name of a hash ends with the project, so that those of the project `workshop`
    also end with `shop`.

    Args:
        client: of a Redis, or of a cluster.
        keys: join key → Feast type; empty for views without entities.
    """
    if not keys:
        yield [dummy_key(project)]
        return
    start = key_names(sorted(keys))
    page: list[bytes] = []
    for name in client.scan_iter(match=_GLOB.sub(rb"\\\g<0>", start) + b"*", count=PAGE):
        if _is_of(name, start, [keys[key] for key in sorted(keys)], project):
            page.append(name)
        if len(page) == PAGE:
            yield page
            page = []
    if page:
        yield page


def _is_of(name: bytes, start: bytes, kinds: list[str], project: str) -> bool:
    """Whether what follows the names of the join keys is one value of each type, and the project."""
    place = len(start)
    for kind in kinds:
        if place + 8 > len(name):
            return False
        number, size = struct.unpack_from("<II", name, place)
        if KEY_TYPES.get(kind, number) != number:
            return False
        place += 8 + size
    return name.startswith(start) and name[place:] == project.encode()
