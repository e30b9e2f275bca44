"""What every source can do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from twinserve.source_values.plain_columns import plain_table
from twinserve.times import INSTANT, as_instants

CHUNK_ROWS = 100_000


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
            TransientError: its database is not reachable.
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
