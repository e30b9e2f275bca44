"""A closed terminal, taken as a wish to end."""

from __future__ import annotations

import signal
from types import FrameType
from typing import NoReturn

from twinserve.command.stop import Stopped


def leave_on_hangup() -> None:
    """A closed terminal ends us like a SIGTERM does: in order."""
    signal.signal(signal.SIGHUP, _hung_up)


def _hung_up(number: int, _frame: FrameType | None) -> NoReturn:
    raise Stopped(number)
