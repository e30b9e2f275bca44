"""When each stored row was last read at its source: of two reads the later one counts, whichever is published first."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from twinserve.errors import PermanentError
from twinserve.files.atomic import atomic_file
from twinserve.values.times import as_micros

Numbers = npt.NDArray[np.int64]
Marks = npt.NDArray[np.uint64]
NEVER = np.iinfo(np.int64).min


def marks(table: pa.Table, columns: list[str]) -> Marks:
    """A number of 64 bits for each row, the same for the same values of `columns`; keys can't be read from it."""
    hashed = pd.util.hash_pandas_object(table.select(columns).to_pandas(), index=False)
    return np.asarray(hashed).astype(np.uint64)


class ReadTimes:
    """One small file a day, `<root>/<view>/day=YYYY-MM-DD.parquet`: `mark` of a row, `read_at` in microseconds.

    A row that is not in it (written before there were such files, or pushed) counts as read before all others.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def of(self, day: date, rows: Marks) -> Numbers:
        """When each of these rows was last read, in microseconds since 1970 UTC; `NEVER` where nothing is known.

        Raises:
            PermanentError: the file is damaged.
        """
        known, times = self._read(day)
        if not len(known):
            return np.full(len(rows), NEVER)
        places = np.minimum(np.searchsorted(known, rows), len(known) - 1)
        return np.where(known[places] == rows, times[places], NEVER)

    def note(self, day: date, stored: Marks, read: Marks, at: datetime) -> None:
        """The rows `read` were seen at `at`; of the others in `stored` what is known stays, the rest goes."""
        times = self.of(day, stored)
        seen = np.where(np.isin(stored, read), np.maximum(times, as_micros(at)), times)
        known = seen > NEVER
        order = np.argsort(stored[known])
        table = pa.table({"mark": stored[known][order], "read_at": seen[known][order]})
        with atomic_file(self._file(day)) as draft:
            pq.write_table(table, draft, compression="zstd")

    def _read(self, day: date) -> tuple[Marks, Numbers]:
        file = self._file(day)
        if not file.exists():
            return np.array([], np.uint64), np.array([], np.int64)
        try:
            table = pq.read_table(file, partitioning=None)
            return table["mark"].to_numpy(), table["read_at"].to_numpy()
        except (pa.ArrowException, OSError, KeyError) as error:
            raise PermanentError(
                f"{file} is damaged: {error}", fix="Delete it: the rows of that day count as read long ago"
            ) from error

    def _file(self, day: date) -> Path:
        return self.folder / f"day={day.isoformat()}.parquet"
