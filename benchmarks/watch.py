"""What a process and its children use while they run, looked at a few times a second."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil

SERVERS = {"redis-server"}  # the memory of the store that is written to is not the writer's


class Watch:
    """Peaks of one process tree and of its scratch folder.

    Attributes:
        tree_bytes: resident memory of all its processes together, servers apart; a page that two share counts twice.
        scratch_bytes: size of the files in the folder.
    """

    def __init__(self, pid: int, scratch: Path) -> None:
        self._pid, self._scratch = pid, scratch
        self.tree_bytes = self.scratch_bytes = 0

    def look(self) -> Self:
        """Take one sample."""
        with suppress(psutil.Error):
            root = psutil.Process(self._pid)
            tree = [root, *root.children(recursive=True)]
            self.tree_bytes = max(self.tree_bytes, sum(_resident(process) for process in tree))
        self.scratch_bytes = max(self.scratch_bytes, folder_bytes(self._scratch))
        return self


def folder_bytes(folder: Path) -> int:
    """Size of the files in it, however deep; one that vanishes meanwhile counts as nothing."""
    total = 0
    for file in folder.rglob("*"):
        with suppress(FileNotFoundError):
            total += file.stat().st_size if file.is_file() else 0
    return total


def _resident(process: psutil.Process) -> int:
    with suppress(psutil.Error):
        if process.name() not in SERVERS:
            return int(process.memory_info().rss)
    return 0
