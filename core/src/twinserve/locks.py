"""One at a time, across processes of one machine."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def one_at_a_time(file: Path) -> Iterator[None]:
    """Wait until nobody else is in a block with this file; the lock ends with the process, however that ends."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        yield
