"""A folder for what does not fit in memory, gone when the work is."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from twinserve.errors import BadInput, TransientError

_PREFIX = "twinserve-join-"
_LOCK = "lock"
_TRIES = 20


@contextmanager
def workspace(parent: Path) -> Iterator[Path]:
    """A new folder below `parent`, removed at the end, together with those that a SIGKILL left there.

    So is `parent`, if it was made for this. A folder that somebody still works in is known by the lock on the file
    in it.

    Raises:
        BadInput: `parent` can't be written to.
        TransientError: its disk is full.
    """
    folder, ours = parent / f"{_PREFIX}{secrets.token_hex(6)}", not parent.exists()
    try:
        handle = _made(folder)
    except FileNotFoundError as error:
        raise BadInput(
            f"{parent} can't be made: {error.strerror}", fix="Set temp_directory of the offline store"
        ) from error
    except OSError as error:
        raise _explained(error, parent) from error
    try:
        yield folder
    except OSError as error:
        raise _explained(error, parent) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)
        if ours:
            _remove_empty(parent)


def _made(folder: Path) -> int:
    """Tried again where whoever made the parent has removed it just when we had found it there."""
    for _ in range(_TRIES - 1):
        with suppress(FileNotFoundError, FileExistsError):
            return _locked_folder(folder)
    return _locked_folder(folder)


def _locked_folder(folder: Path) -> int:
    """Made while the parent is locked: until it has its own lock it looks abandoned."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.parent):
        _remove_abandoned(folder.parent)
        folder.mkdir(mode=0o700)
        handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX)
        return handle


def _remove_empty(parent: Path) -> None:
    with suppress(OSError), _locked(parent):  # somebody else works in it, or has removed it
        parent.rmdir()


@contextmanager
def _locked(parent: Path) -> Iterator[None]:
    """Nobody else makes or removes a workspace in `parent`, or removes `parent`.

    Raises:
        FileNotFoundError: it was removed meanwhile, perhaps made again.
    """
    gate = os.open(parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(gate, fcntl.LOCK_EX)
        _require_same(gate, parent)
        yield
    finally:
        os.close(gate)


def _require_same(handle: int, folder: Path) -> None:
    if not os.path.samestat(os.fstat(handle), folder.stat()):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))


def _remove_abandoned(parent: Path) -> None:
    for folder in [*parent.glob(f"{_PREFIX}*"), *parent.glob(f".{_PREFIX}*")]:
        with suppress(BlockingIOError, PermissionError):
            _remove_unlocked(folder)


def _remove_unlocked(folder: Path) -> None:
    try:
        file = (folder / _LOCK).open("rb")
    except FileNotFoundError:  # killed before it had one
        shutil.rmtree(folder, ignore_errors=True)
        return
    with file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)


def _explained(error: OSError, parent: Path) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT) and error.filename in (None, str(parent)):
        return TransientError(
            f"no space left in {parent}", fix="Free some, or set temp_directory of the offline store to another disk"
        )
    if error.errno in (errno.EACCES, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
        return BadInput(
            f"{parent} can't be written to: {error.strerror}", fix="Set temp_directory of the offline store"
        )
    return error
