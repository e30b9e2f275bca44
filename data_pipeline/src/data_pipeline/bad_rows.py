"""Rows set aside, each with every reason that applies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from twinserve.files.atomic import atomic_file


class BadRows:
    """Number of a raw row → its reasons, in the order they were found."""

    def __init__(self) -> None:
        self.reasons: dict[int, list[str]] = {}

    def __len__(self) -> int:
        return len(self.reasons)

    def add(self, rows: Iterable[int], reason: str) -> None:
        """Give these rows one more reason."""
        for row in rows:
            self.reasons.setdefault(int(row), []).append(reason)

    def rows(self) -> npt.NDArray[np.int64]:
        """The numbers, ascending."""
        return np.array(sorted(self.reasons), np.int64)

    def by_reason(self) -> dict[str, int]:
        """How many rows have each reason, most first; a row with two counts under both."""
        counts = Counter(reason for reasons in self.reasons.values() for reason in reasons)
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    @classmethod
    def merged(cls, several: Iterable[BadRows]) -> Self:
        """All of them together."""
        together = cls()
        for one in several:
            for row, reasons in one.reasons.items():
                together.reasons.setdefault(row, []).extend(reasons)
        return together

    def write(self, file: Path) -> None:
        """Save as Parquet: `row`, `reasons`."""
        rows = self.rows().tolist()
        table = pa.table(
            {
                "row": pa.array(rows, pa.int64()),
                "reasons": pa.array([self.reasons[row] for row in rows], pa.list_(pa.string())),
            }
        )
        with atomic_file(file) as draft:
            pq.write_table(table, draft)

    @classmethod
    def read(cls, file: Path) -> Self:
        """Load what `write` saved."""
        table, rows = pq.read_table(file), cls()
        rows.reasons = dict(zip(table["row"].to_pylist(), table["reasons"].to_pylist(), strict=True))
        return rows
