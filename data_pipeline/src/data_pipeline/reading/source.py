"""What every source can do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol

import pyarrow as pa

CHUNK_ROWS = 100_000


class Source(Protocol):
    """Rows of one table or file.

    Attributes:
        name: tells this source from every other, for its watermark and for messages; no secrets in it.
    """

    name: str

    def columns(self) -> list[str]:
        """The names of its columns.

        Raises:
            BadInput: there is no such table or file, or it can't be read.
            TransientError: its database is not reachable.
        """
        ...

    def rows(self, columns: list[str], arrival: str, since: datetime | None) -> Iterator[pa.Table]:
        """Chunks of `columns`, types as found, of the rows whose `arrival` is `since` or later, null or no time."""
        ...
