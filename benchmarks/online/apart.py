"""Processor cores for the open loop: the service has one of its own, load generator and Redis share the others.

Otherwise the system's scheduler decides about the tail: two processes that never sleep, on the two cores of the machine
of the tables, keep each other waiting for up to 9 ms at a time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import psutil


@contextmanager
def apart(service: int, *others: int) -> Iterator[None]:
    """Give the first core to a service and its children, the rest to `others`, to this process and to what it starts.

    With one core, or on a system that does not know of such a thing, all stays as it is.

    Args:
        service: its process.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    everybody = (service, *others, os.getpid())
    if not cores[1:]:
        yield
        return
    try:
        _keep(service, cores[:1])
        for each in everybody[1:]:
            _keep(each, cores[1:])
        yield
    finally:
        for each in everybody:
            _keep(each, cores)


def _keep(root: int, cores: Sequence[int]) -> None:
    """A process on these cores, with its threads and, if it is not this one, its children."""
    with suppress(psutil.Error, OSError):
        process = psutil.Process(root)
        for each in [process, *([] if root == os.getpid() else process.children(recursive=True))]:
            with suppress(psutil.Error):
                for thread in each.threads():
                    os.sched_setaffinity(thread.id, cores)
