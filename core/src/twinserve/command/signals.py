"""Ctrl-C and friends, at the right moment."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def leave_at_once() -> None:
    """Until `console.run_app` takes over, Ctrl-C and SIGTERM end the process with the line and the code that it has.

    Modules are imported meanwhile: there is nothing to unwind, and an exception may be lost in somebody's import.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    os.write(2, f"stopped by {signal.Signals(number).name}\n".encode())
    os._exit(128 + number)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Keep signals that would end us until the block is done: what it starts or stops must not be left half done.

    Only the main thread is sent signals; in any other there is nothing to keep.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept: list[int] = []
    # SIGALRM: see `Stopping`
    held = (*ENDING, signal.SIGALRM)
    before = {number: signal.signal(number, lambda got, _frame: kept.append(got)) for number in held}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if kept:
        signal.raise_signal(kept[0])
