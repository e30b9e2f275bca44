"""The signals of the service: SIGINT and SIGTERM as something to wait for, and the one that its workers get."""

from __future__ import annotations

import select
import signal
import socket
import time
from types import FrameType, TracebackType
from typing import Self

STOPPING = (signal.SIGINT, signal.SIGTERM)
DRAIN = signal.SIGUSR1  # from the supervisor to its workers
TOGETHER_SECONDS = 0.3  # a Ctrl-C may come twice: from the terminal, and from a parent that passes it on


class StopSignals:
    """A block in which the signals that stop a service are counted; made for the main thread.

    Python writes each signal's number into a socket before any handler runs, so a signal is not lost in the time in
    which a library has its own handlers in place.
    """

    def __init__(self) -> None:
        self._inbox, self._outbox = socket.socketpair()
        self._last = -TOGETHER_SECONDS

    def __enter__(self) -> Self:
        self._outbox.setblocking(False)
        self._handlers = {number: signal.getsignal(number) for number in STOPPING}
        self._wakeup = signal.set_wakeup_fd(self._outbox.fileno(), warn_on_full_buffer=False)
        self.take_over()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._inbox.close()
        self._outbox.close()

    def take_over(self) -> None:
        """Replace the handlers, of a library say, by ones that do nothing."""
        for number in STOPPING:
            signal.signal(number, _already_noted)

    def arrived(self, within: float) -> bool:
        """Whether a signal came that none of the earlier calls has told of; waits for it up to `within` seconds."""
        deadline = time.monotonic() + within
        while select.select([self._inbox], [], [], max(0.0, deadline - time.monotonic()))[0]:
            number, now = self._inbox.recv(1)[0], time.monotonic()
            if number in STOPPING and now - self._last >= TOGETHER_SECONDS:
                self._last = now
                return True
        return False


def _already_noted(_number: int, _frame: FrameType | None) -> None:
    """Python has written the number into the socket."""
