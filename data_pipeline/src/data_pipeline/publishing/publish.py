"""Good rows into the offline store, day by day; what is there already is not written again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime

import pyarrow as pa

from data_pipeline.publishing.changes import Changes
from data_pipeline.publishing.corrections import Correction, CorrectionLog
from data_pipeline.publishing.day_merge import DayMerge, merge_day
from data_pipeline.publishing.offline_files import by_day, identity, read_day, write_day
from data_pipeline.publishing.read_times import ReadTimes, marks
from data_pipeline.publishing.stored_columns import refuse_mixed
from data_pipeline.publishing.whole_reads import WholeReads
from data_pipeline.sources import Rule
from twinserve.features.feast_repo.views import ViewSpec
from twinserve.values.times import as_micros


@dataclass
class Published:
    """What one try did.

    Attributes:
        rows_new: rows that came new to the store.
        rows_already_stored: rows that it had, value for value.
        corrections: rows that differ from the stored ones of the same keys and times; they took their place, or under
            `keep_first` did not.
        rows_filled: stored rows that got the values of features added since.
        rows_older: rows that the store has from a later read, or that a later read of the whole source lacked.
    """

    rows_new: int = 0
    rows_already_stored: int = 0
    corrections: int = 0
    rows_filled: int = 0
    rows_older: int = 0
    days_written: int = 0
    days_unchanged: int = 0

    def add(self, merged: DayMerge) -> None:
        """Count a day."""
        found = merged.counts
        self.rows_new += found["new"]
        self.rows_already_stored += found["already"]
        self.corrections += found["replaced"] + found["keep_first"] + found["refused"]
        self.rows_filled += found["filled"]
        self.rows_older += found["older_read"]
        self.days_written += merged.changed
        self.days_unchanged += not merged.changed

    def to_dict(self) -> dict[str, int]:
        """The counts by name."""
        return asdict(self)


@dataclass(frozen=True)
class Plan:
    """What a run comes to, over all its tries, known before this one writes anything.

    Attributes:
        went: `stored`, `stored_already` and `replaced` rows.
        ignored: `keep_first`, `older_read` and `refused` rows.
        found: rows that this try finds to differ from stored ones.
    """

    went: dict[str, int]
    ignored: dict[str, int]
    found: list[Correction]


@dataclass(frozen=True)
class Publisher:
    """Brings the rows of one read to the files of a view.

    The result depends on the rows and on when they were read, not on the batches in which they come nor on which of two
    reads is published first. What a later whole read of the source lacked is left out.

    Attributes:
        read_at: when the read began.
        name: of the run, for its list of corrections.
    """

    view: ViewSpec
    rule: Rule
    read_at: datetime
    log: CorrectionLog
    times: ReadTimes
    changes: Changes
    name: str

    def plan(self, table: pa.Table) -> Plan:
        """Look at every day that `table`, one row for each identity, touches; nothing is written.

        Raises:
            BadInput: rows would be of two types after it.
        """
        refuse_mixed(self.view, dict(by_day(table, self.view.timestamp)))
        counts, found = Counter[str](), list[Correction]()
        for _, merged in self._merged(table):
            counts += self._over_all_tries(merged)
            found += merged.found
        went = {
            "stored": counts["new"],
            "stored_already": counts["already"],
            "replaced": counts["replaced"] + counts["filled"],
        }
        return Plan(went, {name: counts[name] for name in ("keep_first", "older_read", "refused")}, found)

    def listed(self, superseded: list[Correction], plan: Plan) -> list[Correction]:
        """The corrections of all tries of the run, ordered."""
        return sorted({*self.log.listed(self.name), *superseded, *plan.found})

    def publish(self, table: pa.Table, found: list[Correction]) -> Published:
        """Do as planned.

        Each day is replaced as a whole, and noted in `changes` before; killed in between, the same call again ends in
        the same state.
        """
        counts = Published()
        self.log.record(found, self.name)
        names = identity(self.view)
        for read, merged in self._merged(table):
            counts.add(merged)
            # before the file: noted too early, a later try writes the same again; too late, an older read might win
            self.times.note(merged.day, marks(merged.rows, names), marks(read, names), self.read_at)
            if merged.changed:
                self.changes.note(merged.day, merged.counts["new"], merged.counts["replaced"] + merged.counts["filled"])
                write_day(self.view, merged.day, merged.rows)
        return counts

    def _merged(self, table: pa.Table) -> Iterator[tuple[pa.Table, DayMerge]]:
        lacking = WholeReads(self.times.folder).lacking_after(self.view, self.read_at)
        for day, every in by_day(table, self.view.timestamp):
            stored, gone = read_day(self.view, day), lacking(every)
            read = every.filter(pa.array(~gone))
            later = self.times.of(day, marks(read, identity(self.view))) > as_micros(self.read_at)
            merged = merge_day(day, stored, read, self.view, self.rule, later)
            merged.counts["older_read"] += int(gone.sum())
            yield read, merged

    def _over_all_tries(self, merged: DayMerge) -> Counter[str]:
        """A day that an earlier try has written already holds that try's rows."""
        counts, before = Counter(merged.counts), self.changes.of(merged.day)
        if not merged.changed:
            new = min(before.new, counts["already"])
            replaced = min(before.replaced, counts["already"] - new)
            counts.update(new=new, replaced=replaced, already=-new - replaced)
        return counts
