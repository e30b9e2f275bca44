"""One roll at a time, and what a roll that was cut off had begun."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from twinserve_platform.problem import Problem


class RollRecord:
    """A file that is locked while a roll runs, and holds what it replaces; empty when none was cut off."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def begun(self) -> frozenset[str] | None:
        """Ids of the containers that were there when the roll began which did not end, None if there was none."""
        self._file.seek(0)
        said = self._file.read()
        return frozenset(json.loads(said)["old"]) if said else None

    def begin(self, old: Collection[str]) -> None:
        """Note what is replaced."""
        self._write(json.dumps({"old": sorted(old)}))

    def end(self) -> None:
        """Nothing is left to be done."""
        self._write("")

    def _write(self, text: str) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._file.write(text)
        self._file.flush()


@contextmanager
def locked_record(path: Path) -> Iterator[RollRecord]:
    """The record, for one process at a time.

    Raises:
        Problem: another roll runs.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel lets go of it when the process dies
        except BlockingIOError:
            raise Problem("another roll of the online service runs", "Wait for its end") from None
        yield RollRecord(file)
