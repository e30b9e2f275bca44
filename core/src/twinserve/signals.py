"""Ctrl-C and friends, at the right moment."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Keep signals that would end us until the block is done: what it starts or stops must not be left half done.

    Only the main thread is sent signals; in any other there is nothing to keep.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept: list[int] = []
    before = {number: signal.signal(number, lambda got, _frame: kept.append(got)) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if kept:
        signal.raise_signal(kept[0])
