"""Garbage collection when nobody waits for an answer.

Reference counting frees nearly everything. What it can't free, cycles, is looked for between requests; an automatic
collection would come in the middle of one.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOOK_SECONDS = 0.5
MOST_BUSY_LOOKS = (
    20  # looks at a busy service, after which it is collected all the same: memory must not grow without end
)


@contextmanager
def no_automatic_collection() -> Iterator[None]:
    """A block in which Python never collects of itself; what lives at its begin is not looked at again."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def collect_when_idle(is_idle: Callable[[], bool]) -> None:
    """Look now and then, for ever; collect everything where the service is idle, else the youngest objects."""
    busy = 0
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        busy = 0 if is_idle() else busy + 1
        if busy % MOST_BUSY_LOOKS == 0:
            gc.collect()
        else:
            gc.collect(0)
