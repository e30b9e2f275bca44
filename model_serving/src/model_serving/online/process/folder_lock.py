"""One service a folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from twinserve.errors import BadInput

FILE = "lock"


@contextmanager
def one_service_in(folder: Path) -> Iterator[None]:
    """A block in which the folder is this process's; the lock ends with the process, however that ends.

    Raises:
        BadInput: it is another one's, which its message names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / FILE).open("a+b", buffering=0) as gate:
        try:
            fcntl.flock(gate, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _taken(folder) from None
        with suppress(OSError):  # on a full disk the lock holds without the name
            gate.truncate(0)
            gate.write(f"{os.getpid()}\n".encode())
        yield


def _taken(folder: Path) -> BadInput:
    holder = (folder / FILE).read_text().strip() or "unknown"
    return BadInput(
        f"another service (process {holder}) has {folder}: one with this port, on whatever address",
        fix="Stop it, or take another port with --port or TWINSERVE_ONLINE_PORT, or another TWINSERVE_HOME",
    )
