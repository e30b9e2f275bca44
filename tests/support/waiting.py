"""Waiting for something to come about."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def until(
    what: str,
    look: Callable[[], Found],
    seconds: float = 120.0,
    pause: float = 0.1,
    also: Callable[[], object] = lambda: "",
) -> Found:
    """Wait until `look` gives something true, and give it.

    Args:
        what: is waited for, in words.
        also: what helps to see why it did not come.

    Raises:
        AssertionError: the time is up.
    """
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"not after {seconds:.0f} s: {what} {also()}"
        time.sleep(pause)
    return found
