"""The files of the offline store, and which of them a Redis has seen in which state."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import redis

from twinserve.features.online_view import OnlineView
from twinserve.features.source_files import parquet_in

_DAY = re.compile(r"day=(\d{4}-\d{2}-\d{2})")
_DEFINITION = "definition"  # beside file names, which all end in .parquet


def signatures(folder: Path) -> dict[str, str]:
    """Each Parquet file below `folder`, by its path in it, with size and modification time."""
    return {str(p.relative_to(folder)): signature(p) for p in parquet_in(folder)}


def signature(file: Path) -> str:
    """The file's size and modification time."""
    return f"{file.stat().st_size}:{file.stat().st_mtime_ns}"


def is_recent(name: str, since: datetime) -> bool:
    """Whether the file is of a day not before that of `since`."""
    day = _DAY.search(name)
    return day is not None and datetime.fromisoformat(day[1]).date() >= since.date()


class DayFileMemory:
    """What one view's files looked like when they were written to a Redis, kept in that Redis.

    It counts for one definition of the view: other types or names make other bytes, of which none are there yet.
    """

    def __init__(self, client: redis.Redis, view: OnlineView) -> None:
        self._client = client
        self._hash = f"twinserve:materialized:{view.project}:{view.name}"
        self._definition = view.digest

    def known(self) -> dict[str, str]:
        """File → signature."""
        held: dict[bytes, bytes] = self._client.execute_command("HGETALL", self._hash)  # type: ignore[no-untyped-call]
        seen = {name.decode(): signature.decode() for name, signature in held.items()}
        return seen if seen.pop(_DEFINITION, None) == self._definition else {}

    def remember(self, files: dict[str, str]) -> None:
        """Add to what is known; what was known of another definition goes."""
        with self._client.pipeline() as pipe:
            if not self.known():
                pipe.delete(self._hash)
            pipe.hset(self._hash, mapping={**files, _DEFINITION: self._definition})
            pipe.execute()

    def forget(self, names: Iterable[str]) -> None:
        """Files that are gone."""
        if gone := list(names):
            self._client.hdel(self._hash, *gone)
