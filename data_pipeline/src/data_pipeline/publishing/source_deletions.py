"""Stored rows that their source no longer has: found where a run has read all of it, and deleted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from data_pipeline.publishing.changes import Changes
from data_pipeline.publishing.offline_files import by_day, day_files, identity, read_day, write_day
from data_pipeline.publishing.read_times import Marks, ReadTimes, marks
from data_pipeline.publishing.whole_reads import WholeReads, compared_columns
from data_pipeline.sources import Snapshot
from twinserve.features.feast_repo.views import ViewSpec
from twinserve.files.atomic import atomic_file
from twinserve.steps.ledger import Ledger
from twinserve.values.times import as_micros

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Lacking:
    """What the source lacks of what is stored.

    Attributes:
        stored: rows that the files of the source's view hold; those that were pushed lie beside them.
        rows: those of them that the source no longer has.
        unreadable: rows of the source of which nobody can say whose they are: while there are any, nothing is deleted.
        empty: whether the source has no rows at all.
        rewritten: those of `rows` whose keys and event time it has under another time of writing.
    """

    stored: int
    rows: int
    unreadable: int = 0
    empty: bool = False
    rewritten: int = 0

    @property
    def fraction(self) -> float:
        """The share of stored rows that the source lacks, of `rewritten` ones apart."""
        return (self.rows - self.rewritten) / self.stored if self.stored else 0.0


@dataclass(frozen=True)
class WholeRead:
    """A read of all that a source has.

    Attributes:
        compared: `rows`: a stored row of which the source has none with the same keys and times is deleted. `keys`: the
            rows of a key of which the source has none at all are.
        present: keys and times of every row that was read, bad ones too; null where a value can't be read.
        read_at: when the read began; rows read later than that stay.
        listed: where the keys and times of rows that are deleted are listed.
    """

    view: ViewSpec
    compared: Snapshot
    present: pa.Table
    read_at: datetime
    times: ReadTimes
    changes: Changes
    listed: Path

    def lacking(self) -> Lacking:
        """Count, and delete nothing."""
        known = self._known()
        if unreadable := self.present.num_rows - known.num_rows:
            return Lacking(self._stored(), 0, unreadable)
        stored = gone = rewritten = 0
        for rows, lost, anew in self._lost(known):
            stored, gone, rewritten = stored + rows.num_rows, gone + int(lost.sum()), rewritten + int(anew.sum())
        return Lacking(stored, gone, empty=not self.present.num_rows, rewritten=rewritten)

    def list_lacking(self, file: Path) -> None:
        """Save keys and times of the stored rows that the source lacks, `rewritten` ones apart, for a person to see."""
        names = identity(self.view)
        gone = [rows.filter(pa.array(lost & ~anew)).select(names) for rows, lost, anew in self._lost(self._known())]
        with atomic_file(file) as draft:
            pq.write_table(pa.concat_tables(gone), draft)

    def take_effect(self, lacking: Lacking) -> int:
        """Delete what `lacking` counts, and note what the source had: no older read brings back what it had not.

        Returns:
            Rows that this call deleted.

        Raises:
            LedgerMismatch: rows that were stored are neither there nor deleted.
        """
        if lacking.empty or lacking.unreadable:
            return 0
        WholeReads(self.times.folder).note(self.compared, marks(self._known(), self._names), self.read_at)
        if not lacking.rows:
            return 0
        before, deleted = self._stored(), self.delete()
        Ledger(before, {"kept": self._stored(), "deleted": deleted}).balanced(f"snapshot of {self.view.name}")
        return deleted

    def delete(self) -> int:
        """Delete what the source lacks, a day at a time; killed in between, the same call again goes on.

        Returns:
            Rows that this call deleted.
        """
        deleted = 0
        for day, rows, lost in self._days(self._known()):
            if not lost.any():
                continue
            kept, gone = rows.filter(pa.array(~lost)), rows.filter(pa.array(lost))
            self._list(gone.select(identity(self.view)))
            self.times.note(day, marks(kept, identity(self.view)), np.array([], np.uint64), self.read_at)
            self.changes.note_deleted(day, gone.num_rows)
            write_day(self.view, day, kept, rows_deleted=True)
            deleted += gone.num_rows
        return deleted

    def _stored(self) -> int:
        return sum(pq.read_metadata(file).num_rows for file in day_files(self.view).values())

    def _known(self) -> pa.Table:
        return self.present.select(self._names).drop_null()

    @property
    def _names(self) -> list[str]:
        return compared_columns(self.view, self.compared)

    def _days(self, known: pa.Table) -> Iterator[tuple[date, pa.Table, Flags]]:
        """Each stored day, its rows, and which of them the source lacks."""
        there: Marks = np.unique(marks(known, self._names))
        for day in day_files(self.view):
            rows = read_day(self.view, day).rows
            later = self.times.of(day, marks(rows, identity(self.view))) > as_micros(self.read_at)
            yield day, rows, ~np.isin(marks(rows, self._names), there) & ~later

    def _lost(self, known: pa.Table) -> Iterator[tuple[pa.Table, Flags, Flags]]:
        """The rows of each stored day, which of them the source lacks, and which of these it has but for `created`."""
        events = [*self.view.join_keys, self.view.timestamp]
        there: Marks = np.unique(marks(known, events)) if self.compared == "rows" else np.array([], np.uint64)
        for _, rows, lost in self._days(known):
            yield rows, lost, lost & np.isin(marks(rows, events), there) if lost.any() else lost

    def _list(self, gone: pa.Table) -> None:
        """Add to the list. What a killed try has listed and not deleted comes again, and once is enough."""
        before = [pq.read_table(self.listed)] if self.listed.exists() else []
        together = pa.concat_tables([*before, gone])
        with atomic_file(self.listed) as draft:
            pq.write_table(together.group_by(gone.column_names).aggregate([]), draft)


def drop_undeleted(view: ViewSpec, changes: Changes, listed: Path) -> None:
    """Take from the list, and from what was noted, the rows that are stored.

    A try that was killed has listed what it had yet to delete; read anew, the source may have it again.
    """
    if not listed.exists():
        return
    names, gone = identity(view), []
    for day, rows in by_day(pq.read_table(listed), view.timestamp):
        stored = marks(read_day(view, day).rows, names)
        gone.append(rows.filter(pa.array(~np.isin(marks(rows, names), stored))))
        changes.note_deleted(day, gone[-1].num_rows)
    kept = pa.concat_tables(gone)
    if not kept.num_rows:
        listed.unlink()
        return
    with atomic_file(listed) as draft:
        pq.write_table(kept, draft)
