"""Ctrl-C and friends, at the right moment."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from twinserve.console import Stopped

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Keep signals that would end us until the block is done: what it starts or stops must not be left half done."""
    kept: list[int] = []
    before = {number: signal.signal(number, lambda got, _frame: kept.append(got)) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if kept:
        signal.raise_signal(kept[0])


def leave_on_hangup() -> None:
    """A closed terminal ends us like a SIGTERM does: in order."""
    signal.signal(signal.SIGHUP, _hung_up)


def _hung_up(number: int, _frame: FrameType | None) -> NoReturn:
    raise Stopped(number)
