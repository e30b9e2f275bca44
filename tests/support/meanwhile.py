"""Something that goes on beside a block of a test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager


@contextmanager
def meanwhile(act: Callable[[threading.Event], object]) -> Iterator[None]:
    """Call `act` in a thread; at the end of the block the event is set, and an exception of `act` is raised."""
    over = threading.Event()
    with ThreadPoolExecutor(1, thread_name_prefix="meanwhile") as beside:
        acting = beside.submit(act, over)
        try:
            yield
        finally:
            over.set()
            acting.result()
