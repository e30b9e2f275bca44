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

from twinserve.times import as_micros

_DELETIONS = b"twinserve.deletions"


class FileSize(NamedTuple):
    """Attributes:
    rows: that the file has.
    deletions: times that rows were deleted from it.
    latest: event time, in µs, that a row of it has; None where its footer does not tell.
    """

    rows: int
    deletions: int = 0
    latest: int | None = None

    @classmethod
    def of(cls, file: Path, timestamp: str) -> Self | None:
        """Of a Parquet file; None where it can't be read, which whoever reads it says."""
        try:
            footer = pq.read_metadata(file)
        except (OSError, ValueError):
            return None
        return cls(footer.num_rows, _deletions(footer), _latest(footer, timestamp))

    @classmethod
    def from_text(cls, text: str) -> Self | None:
        """What `to_text` made, here or in an earlier release, which counted rows alone, or not even these."""
        rows, _, latest = text.partition(" ")
        count, _, deletions = rows.partition("-")
        return cls(int(count), int(deletions or 0), int(latest) if latest else None) if count else None

    def to_text(self) -> str:
        """The form that is kept."""
        rows = f"{self.rows}-{self.deletions}" if self.deletions else str(self.rows)
        return rows if self.latest is None else f"{rows} {self.latest}"

    def has_lost(self, before: FileSize) -> bool:
        """Whether rows have gone since."""
        return self.rows < before.rows or self.deletions > before.deletions


def deletions_of(file: Path) -> int:
    """Times that rows were deleted from the file; of one that is not there, none."""
    return _deletions(pq.read_metadata(file)) if file.exists() else 0


def with_deletions(table: pa.Table, deletions: int) -> pa.Table:
    """The table, to be written to a file from which rows were deleted so often."""
    return table.replace_schema_metadata({_DELETIONS: str(deletions)} if deletions else None)


def _deletions(footer: pq.FileMetaData) -> int:
    return int((footer.metadata or {}).get(_DELETIONS, 0))


def _latest(footer: pq.FileMetaData, timestamp: str) -> int | None:
    place = footer.schema.names.index(timestamp) if timestamp in footer.schema.names else None
    if place is None:
        return None
    found = [footer.row_group(number).column(place).statistics for number in range(footer.num_row_groups)]
    times = [statistics.max for statistics in found if statistics is not None and statistics.has_min_max]
    if len(times) < len(found) or not all(isinstance(time, datetime) for time in times):
        return None
    return max(map(as_micros, times), default=None)
