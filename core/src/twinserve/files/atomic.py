"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import glob
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from twinserve.errors import TransientError


@contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """A path beside `target` to write to; it is synced and renamed to `target` when the block ends well.

    The rename is atomic on POSIX file systems. After an error nothing is left; after a SIGKILL a draft
    `.<name>.*.tmp` is, which no reader looks at and the next write of the same target removes. A draft that
    somebody is still writing is known by its lock.

    Raises:
        TransientError: the disk is full.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(target)
    draft = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
    handle = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)  # less the umask
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield draft
        _sync(draft)
        draft.replace(target)
        _sync(target.parent)
    except OSError as error:
        raise _explained(error, target) from error
    finally:
        draft.unlink(missing_ok=True)
        os.close(handle)


def write_atomically(target: Path, content: str) -> None:
    """Replace the text of `target` (UTF-8) in one step."""
    with atomic_file(target) as draft:
        draft.write_text(content, encoding="utf-8")


def move_folder(draft: Path, target: Path) -> None:
    """Make a folder of files that are on disk appear under its name, in one step; `target` is missing or empty.

    Raises:
        TransientError: the disk is full.
    """
    try:
        _sync(draft)
        draft.rename(target)
        _sync(target.parent)
    except OSError as error:
        raise _explained(error, target) from error


def sync_tree(folder: Path) -> None:
    """Bring every file and folder below `folder` to the disk.

    Raises:
        TransientError: the disk is full.
    """
    try:
        for path in folder.rglob("*"):
            _sync(path)
    except OSError as error:
        raise _explained(error, folder) from error


@contextmanager
def disk_errors(target: Path) -> Iterator[None]:
    """A full disk as ours, in a block that writes `target`.

    Raises:
        TransientError: the disk is full.
    """
    try:
        yield
    except OSError as error:
        raise _explained(error, target) from error


def _remove_abandoned(target: Path) -> None:
    for draft in target.parent.glob(f".{glob.escape(target.name)}.*.tmp"):
        with suppress(FileNotFoundError, BlockingIOError), draft.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            draft.unlink()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _explained(error: OSError, target: Path) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return TransientError(f"no space left to write {target}", fix="Free space there and run the command again")
    return error
