"""The acts by which a command changes what others find, counted in this process, and a signal before one of them.

Python's audit events tell of renames, removals, new folders and files opened to be written; syncs, commits of
SQLAlchemy and what goes to Redis are told of by wrappers. What libraries write by themselves (Parquet, SQLite) lies
between two of these.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

RENAME = "rename"
ALL = (RENAME, "remove", "folder", "open", "sync", "commit", "redis")
EVENTS = {"os.rename": RENAME, "os.remove": "remove", "os.rmdir": "remove", "os.mkdir": "folder", "open": "open"}
WRITING = os.O_WRONLY | os.O_RDWR


class Acts:
    """Counts, from `watch` on.

    Args:
        kinds: what is counted, of `ALL`.
        place: files elsewhere are not.
        kill_at, stop_at: the act before which this process is killed, or stopped.
    """

    def __init__(
        self, kinds: frozenset[str], place: str, kill_at: int | None = None, stop_at: int | None = None
    ) -> None:
        self.kinds, self.place, self.over = kinds, place, False
        self.seen: list[str] = []
        self._signals = {kill_at: signal.SIGKILL, stop_at: signal.SIGSTOP}
        self._one = threading.Lock()

    def watch(self) -> None:
        """For as long as the process lives: an audit hook can't be taken off."""
        sys.addaudithook(self._audited)
        if "sync" in self.kinds:
            os.fsync = self._counted("sync", os.fsync)
        if "commit" in self.kinds:
            from sqlalchemy.engine.default import DefaultDialect

            DefaultDialect.do_commit = self._counted("commit", DefaultDialect.do_commit)  # type: ignore[method-assign]
        if "redis" in self.kinds:
            from redis.connection import AbstractConnection

            sent = self._counted("redis", AbstractConnection.send_packed_command)
            AbstractConnection.send_packed_command = sent  # type: ignore[method-assign]

    def _audited(self, event: str, arguments: tuple[Any, ...]) -> None:
        kind = EVENTS.get(event)
        if kind is None or kind not in self.kinds:
            return
        path = os.fsdecode(arguments[0]) if isinstance(arguments[0], (str, bytes, os.PathLike)) else ""
        if kind == "open" and not (arguments[2] or 0) & WRITING:
            return
        if path and (not os.path.isabs(path) or path.startswith(self.place)):  # noqa: PTH117 # strings, and often
            self._count(f"{kind} {path}")

    def _counted(self, kind: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            self._count(kind)
            return act(*arguments, **named)

        return counted

    def _count(self, act: str) -> None:
        if self.over:
            return
        with self._one:
            number = len(self.seen)
            self.seen.append(act)
            if number in self._signals:
                os.kill(os.getpid(), self._signals[number])
