"""What a Redis has been given of a view's files, remembered in that Redis."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

import redis

from twinserve.features.feast_repo.online_view import OnlineView
from twinserve.features.materialization.day_files import DayFiles, counted
from twinserve.features.materialization.lost_spans import FIRST, Lost, around
from twinserve.features.stored_files.file_sizes import FileSize
from twinserve.features.stored_files.source_files import day_of

# beside file names, which all end in .parquet
_DEFINITION, _SOURCE, _LOST, _LATEST = "definition", "source", "lost", "latest"
_BEGUN = "begun"  # in place of a file's state: its rows may be there, and it is read again


class WrittenFiles:
    """What one view's files looked like when they were written to a Redis, kept in that Redis.

    It counts for one definition of the view: other types or names make other bytes, of which none are there yet.
    """

    def __init__(self, client: redis.Redis, view: OnlineView, files: DayFiles) -> None:
        self._client, self._files = client, files
        self._hash = f"twinserve:materialized:{view.project}:{view.name}"
        self._definition = view.digest

    def known(self) -> dict[str, str]:
        """File → state."""
        held = self._held()
        current = held.get(_DEFINITION) == self._definition
        return {name: text.partition(" ")[0] for name, text in _of_files(held).items() if current}

    def uncounted(self) -> list[str]:
        """Files that are known without their number of rows."""
        held = self._held()
        return [name for name in self.known() if counted(held[name]) is None]

    def begin(self, files: dict[str, str], latest: int | None) -> None:
        """Before rows are written: whatever becomes of the run, what these files lose from now on will be seen.

        Args:
            files: file → as `DayFiles.with_size` gives it.
            latest: event time in µs of the rows that will be written.
        """
        held = self._held()
        begun = {name: _as_begun(text) for name, text in files.items() if held.get(name) != text}
        if latest is not None:
            begun[_LATEST] = str(max(latest, self.latest()))
        if begun:
            self._client.hset(self._hash, mapping=begun)

    def latest(self) -> int:
        """The latest event time, in µs, that was ever written from the offline store; `FIRST` where nobody knows."""
        return int(self._held().get(_LATEST, FIRST))

    def remember(self, files: dict[str, str], unfinished: Collection[str] = ()) -> None:
        """Add to what is known; what was known of another definition goes.

        Args:
            files: file → as `DayFiles.with_size` gives it.
            unfinished: those to be read again, since they have rows whose time has not come.
        """
        files = {name: _as_begun(text) if name in unfinished else text for name, text in files.items()}
        held = self._held()
        kept = {name: held[name] for name in (_LOST, _LATEST) if name in held}
        with self._client.pipeline() as pipe:
            if not self.known():
                pipe.delete(self._hash)
            facts = {_DEFINITION: self._definition, _SOURCE: str(self._files.folder)}
            pipe.hset(self._hash, mapping={**files, **kept, **facts})
            pipe.execute()

    def forget(self, names: Iterable[str]) -> None:
        """Files that are gone."""
        if gone := list(names):
            self._client.hdel(self._hash, *gone)

    def lost(self, states: dict[str, str]) -> Lost:
        """Where rows have gone from the offline store: files that are gone, have fewer rows than they had, or say that
        some were deleted; all of it where the view's source is another; and what an earlier run found so, and was
        killed over.

        Args:
            states: of the files that there are.
        """
        held, known = self._held(), self.known()
        found = Lost.from_text(held.get(_LOST, ""))
        if held.get(_SOURCE, str(self._files.folder)) != str(self._files.folder):
            found |= Lost(everything=True)
        files = _of_files(held)
        counts_lack = bool(files) and _SOURCE not in held  # an earlier release noted less, and not all that it wrote
        for name in {**files, **states} if counts_lack else files:
            before, now = counted(files.get(name, "")), None
            if name in states and known.get(name) != states[name]:
                now = counted(self._files.with_size(name, states[name]))
            gone = name not in states or (before and now and now.has_lost(before))
            if gone or (before is None and now and now.deletions):
                found |= _lost_of(name, before)
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


def _as_begun(text: str) -> str:
    return " ".join([_BEGUN, *text.split(" ")[1:]])


def _of_files(held: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in held.items() if name.endswith(".parquet")}


def _lost_of(name: str, size: FileSize | None) -> Lost:
    """Any row that the file had."""
    latest, earliest = (size.latest, size.earliest) if size else (None, None)
    if latest is not None and earliest is not None:
        return Lost(((earliest, latest),))
    if day := day_of(Path(name)):
        begin, end = around(day)
        return Lost(((begin, end if latest is None else min(latest, end)),))
    return Lost(everything=True) if latest is None else Lost(((FIRST, latest),))
