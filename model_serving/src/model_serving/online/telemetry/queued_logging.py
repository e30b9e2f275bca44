"""Log lines that nobody waits for: a slow disk, or a pipe that nobody reads, holds up no answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from logging.handlers import QueueHandler, QueueListener
from queue import Full, Queue

MOST_WAITING = 10_000  # lines; those beyond are counted and lost
LAST_SECONDS = 1.0  # for the lines that still wait when the service stops


@contextmanager
def queued_logging(note_lost: Callable[[], None]) -> Iterator[None]:
    """A block in which the root logger's handlers write in a thread of their own.

    Args:
        note_lost: called for each line that is lost.
    """
    root = logging.getLogger()
    handlers, queue = root.handlers[:], Queue[logging.LogRecord](MOST_WAITING)
    listener = _Listener(queue, *handlers, respect_handler_level=True)
    root.handlers = [_Handler(queue, note_lost)]
    listener.start()
    try:
        yield
    finally:
        root.handlers = handlers
        listener.stop()


class _Handler(QueueHandler):
    """Puts records as they are, since they stay in this process."""

    def __init__(self, queue: Queue[logging.LogRecord], note_lost: Callable[[], None]) -> None:
        super().__init__(queue)
        self._note_lost = note_lost

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except Full:
            self._note_lost()


class _Listener(QueueListener):
    """Ends within `LAST_SECONDS`, even if what it writes to takes nothing."""

    def stop(self) -> None:
        with suppress(Full):
            self.queue.put(self._sentinel, timeout=LAST_SECONDS)  # type: ignore[attr-defined] # not in its stub
        if self._thread is not None:
            self._thread.join(LAST_SECONDS)
            self._thread = None
