"""Files as sources: known by their content, and read again as a whole when it changes."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from data_pipeline.reading.source import CHUNK_ROWS, Account, Asked, Source, arrived
from data_pipeline.reading.watermarks import Seen
from twinserve.errors import BadInput, TransientError
from twinserve.files.table_file import ENDINGS, TableFile, is_table

Stamp = tuple[int, int, int, int]


def file_sources(path: Path) -> list[Source]:
    """The file, every data file below the folder, or what fits the pattern, in the order of their paths.

    Hidden files are passed over; see `files_passed_over` for the rest.

    Raises:
        BadInput: nothing there, or nothing that can be read.
    """
    found = [file for place in _places(path) for file in _tables(place)]
    if not found:
        raise BadInput(f"no data file in {path}", fix=f"Put files there that end in {', '.join(ENDINGS)}")
    return [FileSource(file) for file in dict.fromkeys(found)]


def files_passed_over(path: Path) -> list[str]:
    """Files below the folder, or in folders that fit the pattern, that are of no known kind."""
    folders = [place for place in _places(path) if place.is_dir()]
    files = (file for folder in folders for file in sorted(folder.rglob("*")) if not _hidden(file, folder))
    # Spark and its kin leave notes whose names begin with _
    return [str(file) for file in files if file.is_file() and not is_table(file) and not file.name.startswith("_")]


def _places(path: Path) -> list[Path]:
    """The path, or what fits it where it is a pattern."""
    if path.exists():
        return [path]
    if not glob.has_magic(str(path)):
        raise BadInput(f"no file or folder {path}", fix="Check the path")
    found = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207, passes over hidden files as a shell does
    if not found:
        raise BadInput(f"no file fits {path}", fix="Check the pattern")
    return [Path(place) for place in found]


def _tables(place: Path) -> list[Path]:
    if place.is_dir():
        return [f for f in sorted(place.rglob("*")) if is_table(f) and not _hidden(f, place) and f.is_file()]
    if not is_table(place):
        raise BadInput(f"{place} is of no known kind", fix=f"Its name must end in {', '.join(ENDINGS)}")
    return [place]


def _hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(folder).parts)


class FileSource:
    """See `Source` and `TableFile`."""

    ordered = True

    def __init__(self, file: Path) -> None:
        self.table, self.name = TableFile(file), str(file.absolute())
        self._stamp: Stamp | None = None

    def columns(self) -> list[str]:
        """See `Source`."""
        self._stamp = self._stamped()
        return [str(name) for name in self.table.schema().names]

    def read(self, asked: Asked, account: Account) -> Iterator[pa.Table]:
        """See `Source`: all rows if the content is another than at the last reading, else none."""
        self._stamp = self._stamp or self._stamped()
        digest = self._digest()
        account.reached = asked.last.at if asked.last and not asked.interval else None
        seen = asked.last.seen if asked.last else None
        if not asked.interval and seen and seen.digest == digest and asked.last and asked.last.rules == asked.rules:
            account.at_source, account.seen = seen.rows, seen
            account.pass_over("the file is as it was when it was last read", seen.rows)
            return
        for chunk in self._chunks(asked, account):
            account.take(chunk, asked)
            yield chunk
        if self._stamped() != self._stamp:
            raise TransientError(f"{self.name} was changed while it was read", fix="Run it again")
        if asked.interval:
            account.reached = None
        elif account.ahead:
            account.notes.append(f"{account.ahead:,} rows lie in the future: the next run reads the file again")
        else:
            account.seen = Seen(account.at_source, digest)

    def rows(
        self, columns: list[str], arrival: str, since: datetime | None, until: datetime | None = None
    ) -> Iterator[pa.Table]:
        """See `Source`."""
        for batch in self.table.batches(columns, CHUNK_ROWS):
            yield arrived(pa.table(batch), arrival, since, until)

    def _chunks(self, asked: Asked, account: Account) -> Iterator[pa.Table]:
        """The rows asked for, while all are counted."""
        bounds = (asked.interval.since, asked.interval.until) if asked.interval else (None, None)
        account.since = bounds[0]
        for batch in self.table.batches(asked.columns.pulled, CHUNK_ROWS):
            account.at_source += batch.num_rows
            held = arrived(pa.table(batch), asked.columns.arrival, *bounds)
            account.pass_over("arrived outside the interval", batch.num_rows - held.num_rows)
            yield held

    def _digest(self) -> str:
        try:
            with self.table.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise self._gone(error) from None

    def _stamped(self) -> Stamp:
        """Tells the file from one that takes its place, and from itself after a change."""
        try:
            found = self.table.path.stat()
        except OSError as error:
            raise self._gone(error) from None
        return found.st_dev, found.st_ino, found.st_size, max(found.st_mtime_ns, found.st_ctime_ns)

    def _gone(self, error: OSError) -> TransientError | BadInput:
        if isinstance(error, FileNotFoundError):
            return TransientError(f"{self.name} was there a moment ago, and is gone", fix="Run it again")
        return BadInput(f"{self.name} can't be read: {error.strerror}", fix="Give our user the right to read it")
