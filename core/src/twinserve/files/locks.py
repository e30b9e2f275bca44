"""One at a time, across the processes that see one disk. A lock ends with its process, however that ends."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

from twinserve.errors import TransientError
from twinserve.files.atomic import disk_errors

logger = logging.getLogger(__name__)
PATIENCE = 600.0  # seconds; a scheduler's next try costs less than a process that waits for ever
QUIET = 1.0  # seconds waited without a word
PAUSE = 0.02


@contextmanager
def one_at_a_time(file: Path, patience: float | None = None) -> Iterator[None]:
    """Wait until nobody else is in a block with this file; a wait of more than a moment is logged.

    Args:
        patience: seconds to wait; `PATIENCE` if None.

    Raises:
        TransientError: it took longer, or the disk is full.
    """
    with _opened(file) as gate:
        _wait(gate, file, PATIENCE if patience is None else patience)
        yield


@contextmanager
def alone(file: Path, doing: str, *, shared: bool = False) -> Iterator[None]:
    """A block with nobody else in it; whoever comes meanwhile does not wait, but is told who is there.

    Args:
        doing: what the block does, for the others' message: `data-extraction of run 'a'`.
        shared: others who say so too may be in here at the same time.

    Raises:
        TransientError: somebody is there, and names what is done by which process since when; or the disk is full.
    """
    with _opened(file) as gate:
        if not _taken(gate, fcntl.LOCK_SH if shared else fcntl.LOCK_EX):
            raise TransientError(
                f"{doing} can't begin: {_holder(gate)} is at work on the same files",
                fix="Run it again when that one is done",
            )
        _sign(gate, doing)
        try:
            yield
        finally:
            if not shared:  # others may have signed
                gate.truncate(0)


def _wait(gate: FileIO, file: Path, patience: float) -> None:
    began, said = time.monotonic(), False
    while not _taken(gate, fcntl.LOCK_EX):
        waited = time.monotonic() - began
        if waited > patience:
            raise TransientError(
                f"another process has held {file} for {waited:.0f} seconds", fix="Run it again when that one is done"
            )
        if waited > QUIET and not said:
            logger.info("waiting for another process, which holds %s", file)
            said = True
        time.sleep(PAUSE)


def _taken(gate: FileIO, kind: int) -> bool:
    try:
        fcntl.flock(gate, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _opened(file: Path) -> Iterator[FileIO]:
    with disk_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        gate = file.open("a+b", buffering=0)  # what a full disk does not take is not tried again when it is closed
    with gate:
        yield gate


def _sign(gate: FileIO, doing: str) -> None:
    note = {"doing": doing, "process": os.getpid(), "host": socket.gethostname(), "since": _now()}
    with suppress(OSError):  # a full disk: the others are told less
        gate.truncate(0)
        gate.write(json.dumps(note).encode())


def _holder(gate: FileIO) -> str:
    gate.seek(0)
    try:
        note = json.loads(gate.read())
        return f"{note['doing']} (process {note['process']} on {note['host']}, since {note['since']})"
    except (ValueError, KeyError, TypeError):  # it has taken the lock this moment
        return "another process"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
