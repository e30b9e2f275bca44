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
        _remove_abandoned(parent)
        handle = _locked_folder(folder)
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
            with suppress(OSError):  # somebody else works in it
                parent.rmdir()


def _locked_folder(folder: Path) -> int:
    """Make it under another name first: without its lock it would be taken for abandoned."""
    draft = folder.with_name(f".{folder.name}")
    draft.mkdir(mode=0o700, parents=True)
    handle = os.open(draft / _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX)
    draft.rename(folder)
    return handle


def _remove_abandoned(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(FileNotFoundError, BlockingIOError, PermissionError), (folder / _LOCK).open("rb") as file:
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
