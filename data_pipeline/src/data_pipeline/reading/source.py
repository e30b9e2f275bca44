"""What every source can do, what it is asked for, and the account that it gives of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline.columns import ColumnMap
from data_pipeline.reading.interval import Interval
from data_pipeline.reading.watermarks import Seen, Watermark
from twinserve.errors import TransientError
from twinserve.source_values.plain_columns import plain_table
from twinserve.values.times import INSTANT, as_instants

CHUNK_ROWS = 100_000


@dataclass(frozen=True)
class Asked:
    """What a run wants of a source.

    Attributes:
        event: source column of the event time.
        last: how far the last run that published came; None: read all.
        lookback: how far behind the latest arrival rows are read again and compared.
        interval: the rows that arrived in it, and no others.
        now: aware; what arrived later than this is in the future, and moves no watermark.
        rules: digest of how values are read and judged.
    """

    columns: ColumnMap
    event: str
    last: Watermark | None
    lookback: timedelta
    interval: Interval | None
    now: datetime
    rules: str


@dataclass
class Account:
    """Where the rows of a source went: `at_source` is the sum of `read` and `not_read`.

    Attributes:
        not_read: reason → rows.
        since: rows that arrived from then on were read; None: from the beginning.
        ahead: rows read that lie in the future: what is set aside today is good tomorrow.
        late_days: day of arrival → rows that the source has now, rows that it had when they were read.
        seen: what the next run compares the source with; None: nothing that could be compared.
    """

    at_source: int = 0
    read: int = 0
    not_read: dict[str, int] = field(default_factory=dict)
    since: datetime | None = None
    reached: datetime | None = None
    ahead: int = 0
    late_days: dict[str, tuple[int, int]] = field(default_factory=dict)
    seen: Seen | None = None
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def take(self, chunk: pa.Table, asked: Asked) -> None:
        """Note that these rows were read."""
        self.read += chunk.num_rows
        times = as_instants(chunk[asked.columns.arrival]).values
        now = pa.scalar(asked.now, INSTANT)
        latest = pc.max(times.filter(pc.less_equal(times, now))).as_py()
        events = as_instants(chunk[asked.event]).values
        ahead = pc.or_kleene(pc.greater(times, now), pc.greater(events, now))
        self.ahead += pc.sum(ahead).as_py() or 0
        self.reached = max((time for time in (self.reached, latest) if time), default=None)

    def pass_over(self, reason: str, rows: int) -> None:
        """Note that these rows of the source were not read."""
        if rows:
            self.not_read[reason] = self.not_read.get(reason, 0) + rows

    def balance(self, name: str) -> None:
        """See that every row of the source was read or passed over.

        Raises:
            TransientError: it does not come out even.
        """
        if self.at_source != self.read + sum(self.not_read.values()):
            raise TransientError(
                f"{name} has {self.at_source:,} rows, but {self.read:,} were read and "
                f"{sum(self.not_read.values()):,} passed over: it changed meanwhile",
                fix="Run it again",
            )

    def to_dict(self) -> dict[str, Any]:
        """For the outcome of the step."""
        late = [
            {"day": day, "rows_at_source": now, "rows_read_before": before}
            for day, (now, before) in sorted(self.late_days.items())
        ]
        return {
            "rows": self.read,
            "rows_at_source": self.at_source,
            "rows_not_read": self.not_read,
            "late_days": late,
            "notes": self.notes,
            "warnings": self.warnings,
        }


class Source(Protocol):
    """Rows of one table or file.

    Attributes:
        name: tells this source from every other, for its watermark and for messages; no secrets in it.
        ordered: whether its rows have an order, in which the later of two that contradict each other counts.
    """

    name: str
    ordered: bool

    def columns(self) -> list[str]:
        """The names of its columns.

        Raises:
            BadInput: there is no such table or file, or it can't be read.
            TransientError: its database is not reachable, or the file was there a moment ago.
        """
        ...

    def read(self, asked: Asked, account: Account) -> Iterator[pa.Table]:
        """Chunks of the rows asked for, types as found. `account` is complete, and balanced, after the last one.

        Raises:
            TransientError: the source changed while it was read.
        """
        ...

    def rows(
        self, columns: list[str], arrival: str, since: datetime | None, until: datetime | None = None
    ) -> Iterator[pa.Table]:
        """Chunks of `columns`, types as found, of the rows whose `arrival` is `since` or later, null or no time.

        With `until`: of those alone that arrived before it; what has no time arrived in no stretch of it.
        """
        ...


def arrived(table: pa.Table, arrival: str, since: datetime | None, until: datetime | None) -> pa.Table:
    """The rows of `table` that `Source.rows` promises, its columns in their plain form."""
    table = plain_table(table)
    if since is None and until is None:
        return table
    times = as_instants(table[arrival]).values
    held = pa.scalar(True) if since is None else pc.greater_equal(times, pa.scalar(since, INSTANT))
    if until is None:
        return table.filter(pc.fill_null(held, fill_value=True))
    return table.filter(pc.fill_null(pc.and_(held, pc.less(times, pa.scalar(until, INSTANT))), fill_value=False))
