"""Folders that nobody else may enter: what is in them was written by us, or by root."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from twinserve.errors import PermanentError

OTHERS = stat.S_IRWXG | stat.S_IRWXO


def make_private(folder: Path) -> None:
    """Make the folder, or take it from everybody else if it is there and ours.

    Raises:
        PermanentError: it is somebody else's, or its disk knows no permissions.
    """
    folder.mkdir(mode=stat.S_IRWXU, parents=True, exist_ok=True)
    with suppress(PermissionError):  # it is not ours: refused below
        if _others_may_enter(folder) and folder.stat().st_uid == os.geteuid():
            folder.chmod(stat.S_IRWXU)
    refuse_shared(folder)


def refuse_shared(folder: Path) -> None:
    """Hold a folder to what `make_private` has made of it.

    Raises:
        PermanentError: it is somebody else's, or others may enter it.
    """
    owner = folder.stat().st_uid
    if owner != os.geteuid():
        raise PermanentError(
            f"{folder} belongs to user {owner}, and this is user {os.geteuid()}",
            fix="Remove it, it is made anew; or set TWINSERVE_HOME to a folder of your own",
        )
    if _others_may_enter(folder):
        raise PermanentError(
            f"others may enter {folder}", fix="`chmod 700` it; TWINSERVE_HOME must be on a disk with permissions"
        )


def _others_may_enter(folder: Path) -> bool:
    return bool(folder.stat().st_mode & OTHERS)
