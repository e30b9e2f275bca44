"""The files of the offline store, and which of them a Redis has seen in which state."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path

import redis

from twinserve.features.file_sizes import FileSize
from twinserve.features.lost_rows import WHOLE, Lost
from twinserve.features.online_view import OnlineView
from twinserve.features.source_files import parquet_in

_DAY = re.compile(r"day=(\d{4}-\d{2}-\d{2})")
_DEFINITION, _LOST = "definition", "lost"  # beside file names, which all end in .parquet


def signatures(folder: Path) -> dict[str, str]:
    """Each Parquet file below `folder`, by its path in it, with size and modification time."""
    return {str(p.relative_to(folder)): signature(p) for p in parquet_in(folder)}


def signature(file: Path) -> str:
    """The file's size and modification time."""
    return f"{file.stat().st_size}:{file.stat().st_mtime_ns}"


def with_rows(file: Path, state: str, timestamp: str) -> str:
    """The signature, and behind it how many rows the file has, and the latest event time among them in µs.

    Of a file that can't be read, the signature alone; without the time where its footer does not tell it.
    """
    size = FileSize.of(file, timestamp)
    return state if size is None else f"{state} {size.to_text()}"


def counted(text: str) -> FileSize | None:
    """What `with_rows` has counted; None where it could not."""
    return FileSize.from_text(text.partition(" ")[2])


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
        held = self._held()
        current = held.get(_DEFINITION) == self._definition
        return {name: text.partition(" ")[0] for name, text in held.items() if current and name.endswith(".parquet")}

    def uncounted(self) -> list[str]:
        """Files that are known without their number of rows."""
        held = self._held()
        return [name for name in self.known() if counted(held[name]) is None]

    def remember(self, files: dict[str, str]) -> None:
        """Add to what is known; what was known of another definition goes.

        Args:
            files: file → as `with_rows` gives it.
        """
        lost = self._held().get(_LOST)
        with self._client.pipeline() as pipe:
            if not self.known():
                pipe.delete(self._hash)
            kept = {} if lost is None else {_LOST: lost}
            pipe.hset(self._hash, mapping={**files, **kept, _DEFINITION: self._definition})
            pipe.execute()

    def forget(self, names: Iterable[str]) -> None:
        """Files that are gone."""
        if gone := list(names):
            self._client.hdel(self._hash, *gone)

    def lost(self, sizes: dict[str, FileSize | None]) -> Lost:
        """Where rows have gone from the offline store: files that are gone, have fewer rows than they had, or say that
        some were deleted; and what
        an earlier run found so, and was killed over.

        Args:
            sizes: of each file there is that is new or changed; others as None.
        """
        held = self._held()
        found = Lost.from_text(held.get(_LOST, ""))
        for name, text in held.items():
            if not name.endswith(".parquet"):
                continue
            before, now = counted(text), sizes.get(name)
            if name not in sizes or (before and now and now.has_lost(before)):
                day = _DAY.search(name)
                until = WHOLE if before is None or before.latest is None else before.latest
                found |= Lost({date.fromisoformat(day[1]): until}) if day else Lost(everything=True)
        return found

    def note_lost(self, lost: Lost) -> None:
        """Before anything is done about it; nothing once it is done."""
        if lost:
            self._client.hset(self._hash, _LOST, lost.to_text())
        else:
            self._client.hdel(self._hash, _LOST)

    def _held(self) -> dict[str, str]:
        held: dict[bytes, bytes] = self._client.execute_command("HGETALL", self._hash)  # type: ignore[no-untyped-call]
        return {name.decode(): text.decode() for name, text in held.items()}
