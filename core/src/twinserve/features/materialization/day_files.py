"""The files of the offline store that a view reads, and their states."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from twinserve.features.stored_files.file_sizes import FileSize
from twinserve.features.stored_files.source_files import day_of, parquet_in


class DayFiles:
    """The Parquet files at one place: a folder, or a file."""

    def __init__(self, source: Path, timestamp: str) -> None:
        self._only, self._timestamp = source.name if source.is_file() else "", timestamp
        self._counted: dict[tuple[str, str], str] = {}
        self.folder = source.parent if self._only else source

    def states(self) -> dict[str, str]:
        """Each file by its path in the folder, with size and modification time."""
        files = [self.folder / self._only] if self._only else parquet_in(self.folder)
        return {str(file.relative_to(self.folder)): signature(file) for file in files}

    def with_size(self, name: str, state: str) -> str:
        """The state, and behind it what `FileSize` tells of the file; of one that can't be read, the state alone.

        It is looked at once: what was compared with an earlier size is what is remembered.
        """
        if (name, state) not in self._counted:
            self._counted[name, state] = _joined(state, FileSize.of(self.folder / name, self._timestamp))
        return self._counted[name, state]

    def as_read(self, name: str, text: str) -> str:
        """`with_size` of a file that was read since, and may have been replaced before it was."""
        before, now = counted(text), FileSize.of(self.folder / name, self._timestamp)
        return _joined(text.partition(" ")[0], before.or_else(now)) if before and now else text


def _joined(state: str, size: FileSize | None) -> str:
    return state if size is None else f"{state} {size.to_text()}"


def signature(file: Path) -> str:
    """The file's size and modification time."""
    return f"{file.stat().st_size}:{file.stat().st_mtime_ns}"


def counted(text: str) -> FileSize | None:
    """What `DayFiles.with_size` has counted; None where it could not."""
    return FileSize.from_text(text.partition(" ")[2])


def is_recent(name: str, since: datetime) -> bool:
    """Whether the file is of a day not before that of `since`."""
    day = day_of(Path(name))
    return day is not None and day >= since.date()
