"""Ctrl-C and SIGTERM as an exception that is not lost."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import NoReturn

AGAIN_SECONDS = 0.2


class Stopped(BaseException):
    """Ctrl-C or SIGTERM: unwinds the stack, so that `finally` blocks run and drafts are removed."""

    def __init__(self, number: int) -> None:
        self.exit_code = 128 + number  # as a shell would report it
        super().__init__(signal.Signals(number).name)


class Stopping:
    """What a command does at a signal: raise `Stopped`, and raise it again if somebody has swallowed it.

    Libraries catch whatever is raised while they import what they could do without, and Python itself what is raised in
    a destructor: the command would go on, and end as if nobody had asked it to stop.

    Attributes:
        stopped: what was raised, whatever became of it.
    """

    def __init__(self) -> None:
        self.stopped: Stopped | None = None

    def __call__(self, number: int, _frame: FrameType | None) -> NoReturn:
        self.stopped = Stopped(number)
        signal.signal(signal.SIGALRM, self._again)
        signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS, AGAIN_SECONDS)
        raise self.stopped

    def end(self) -> None:
        """Raise it no more."""
        if self.stopped:
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _again(self, _number: int, _frame: FrameType | None) -> None:
        if self.stopped and not _unwinds():
            raise self.stopped


def _unwinds() -> bool:
    """Whether the code at work is a `finally`, an `except` or an `__exit__` that a `Stopped` has come to."""
    error = sys.exc_info()[1]
    while error is not None and not isinstance(error, Stopped):
        error = error.__context__
    return error is not None
