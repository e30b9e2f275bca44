"""What is remembered of a file of the offline store to see later whether it has lost rows.

Whoever deletes rows from a day file says so in its footer: one that gains as many rows as it loses looks unchanged
otherwise, and the rows that it lost would stay in the online store.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Self

import pyarrow as pa
import pyarrow.parquet as pq

from twinserve.values.times import as_micros

_DELETIONS = b"twinserve.deletions"


class FileSize(NamedTuple):
    """Attributes:
    rows: that the file has.
    deletions: times that rows were deleted from it.
    latest, earliest: event times, in µs, that rows of it have; None where its footer does not tell.
    """

    rows: int
    deletions: int = 0
    latest: int | None = None
    earliest: int | None = None

    @classmethod
    def of(cls, file: Path, timestamp: str) -> Self | None:
        """Of a Parquet file; None where it can't be read, which whoever reads it says."""
        try:
            footer = pq.read_metadata(file)
        except (OSError, ValueError):
            return None
        earliest, latest = _times(footer, timestamp)
        return cls(footer.num_rows, deletions_in(footer), latest, earliest)

    @classmethod
    def from_text(cls, text: str) -> Self | None:
        """What `to_text` made, here or in an earlier release, which noted less, or nothing."""
        if not text:
            return None
        rows, *times = text.split(" ")
        count, _, deletions = rows.partition("-")
        return cls(int(count), int(deletions or 0), *map(int, times))

    def to_text(self) -> str:
        """The form that is kept."""
        rows = f"{self.rows}-{self.deletions}" if self.deletions else str(self.rows)
        return rows if self.latest is None or self.earliest is None else f"{rows} {self.latest} {self.earliest}"

    def or_else(self, other: FileSize) -> FileSize:
        """Of a file that was replaced while it was read: what its rows, whichever they were, lie within.

        Where rows were deleted meanwhile, any later size has lost some beside it.
        """
        deletions = self.deletions if self.deletions == other.deletions else -1
        rows = max(self.rows, other.rows)
        if None in (self.latest, self.earliest, other.latest, other.earliest):
            return FileSize(rows, deletions)
        return FileSize(rows, deletions, max(self.latest, other.latest), min(self.earliest, other.earliest))  # type: ignore[type-var]

    def has_lost(self, before: FileSize) -> bool:
        """Whether rows have gone since; so where an older file was put in its place, which counts fewer deletions, and
        where the first or the last event time that it had is no longer within.
        """
        return self.rows < before.rows or self.deletions != before.deletions or not self._reaches(before)

    def _reaches(self, before: FileSize) -> bool:
        if None in (self.latest, self.earliest, before.latest, before.earliest):
            return True
        return self.earliest <= before.earliest and self.latest >= before.latest  # type: ignore[operator]


def deletions_of(file: Path) -> int:
    """Times that rows were deleted from the file; of one that is not there, none."""
    return deletions_in(pq.read_metadata(file)) if file.exists() else 0


def with_deletions(table: pa.Table, deletions: int) -> pa.Table:
    """The table, to be written to a file from which rows were deleted so often."""
    return table.replace_schema_metadata({_DELETIONS: str(deletions)} if deletions else None)


def deletions_in(footer: pq.FileMetaData) -> int:
    """Times that rows were deleted from the file that has this footer."""
    return int((footer.metadata or {}).get(_DELETIONS, 0))


def _times(footer: pq.FileMetaData, timestamp: str) -> tuple[int | None, int | None]:
    """Earliest and latest."""
    place = footer.schema.names.index(timestamp) if timestamp in footer.schema.names else None
    if place is None:
        return None, None
    found = [footer.row_group(number).column(place).statistics for number in range(footer.num_row_groups)]
    times = [(each.min, each.max) for each in found if each is not None and each.has_min_max]
    if not times or len(times) < len(found) or not all(isinstance(time, datetime) for pair in times for time in pair):
        return None, None
    return min(as_micros(first) for first, _ in times), max(as_micros(last) for _, last in times)
