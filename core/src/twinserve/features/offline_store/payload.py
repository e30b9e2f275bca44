"""Feature values by row number: in memory while they are few, else in a file that the system pages in."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from twinserve.features.offline_store.row_sizes import Sizes, row_sizes

IN_MEMORY = 256 << 20  # bytes of one view's values
PIECE = 64 << 20  # bytes of one batch in the file

Positions = npt.NDArray[np.int64]


class Payload:
    """Rows of values, in batches of which each is one piece of memory.

    Args:
        sizes: bytes of each row.
    """

    def __init__(self, schema: pa.Schema, batches: list[pa.RecordBatch], sizes: Sizes) -> None:
        self.schema, self._batches, self._sizes = schema, batches, sizes
        self._ends = np.cumsum([batch.num_rows for batch in batches], dtype=np.int64)

    def sizes(self, rows: Positions) -> Sizes:
        """How many bytes `take` gives for each of `rows`; none where a row is negative."""
        if not len(self._sizes):
            return np.zeros(len(rows), np.int64)
        return np.where(rows < 0, 0, self._sizes[rows])

    def take(self, rows: Positions) -> list[pa.Array | pa.ChunkedArray]:
        """One array per column with the values at `rows`; null where a row is negative.

        The values of one column must stay below 2 GiB: that is as far as Arrow's offsets reach. `sizes` tells.
        """
        none = rows < 0
        if not self._batches or none.all():
            return [pa.nulls(len(rows), field.type) for field in self.schema]
        if len(self._batches) == 1:
            (batch,) = self._batches
            return list(batch.take(pa.array(rows, mask=none)).columns)
        return self._gathered(rows, none)

    def _gathered(self, rows: Positions, none: npt.NDArray[np.bool_]) -> list[pa.Array | pa.ChunkedArray]:
        """Each batch once, in the order of the file: neighbours share pages."""
        wanted, back = np.unique(np.where(none, rows.max(), rows), return_inverse=True)
        bounds = np.searchsorted(wanted, self._ends)
        pieces, low = [], 0
        for batch, begin, high in zip(self._batches, [0, *self._ends[:-1]], bounds, strict=True):
            if high > low:
                pieces.append(batch.take(pa.array(wanted[low:high] - begin)))
            low = high
        found = pa.Table.from_batches(pieces, self.schema).combine_chunks()
        return list(found.take(pa.array(back, mask=none)).columns)


class PayloadWriter:
    """Takes batches one after the other; closing it gives the file up, not the payload.

    Args:
        file: where to write what is more than `in_memory` bytes.
    """

    def __init__(self, schema: pa.Schema, file: Path, in_memory: int = IN_MEMORY) -> None:
        self.schema, self._file, self._in_memory = schema, file, in_memory
        self._held: list[pa.RecordBatch] = []
        self._bytes = 0
        self._sizes: list[Sizes] = []
        self._sink: pa.RecordBatchFileWriter | None = None

    def __enter__(self) -> Self:
        return self

    def add(self, table: pa.Table) -> None:
        """The next rows."""
        batches = table.to_batches()
        self._held += batches
        self._sizes += map(row_sizes, batches)
        self._bytes += table.nbytes
        if self._bytes > (PIECE if self._sink else self._in_memory):
            self._spill()

    def finish(self) -> Payload:
        """All rows that were added."""
        sizes = np.concatenate([np.zeros(0, np.int64), *self._sizes])
        if not self._sink:
            return Payload(self.schema, _joined(self.schema, self._held), sizes)
        self._spill()
        self._sink.close()
        self._sink = None
        with pa.memory_map(str(self._file)) as mapped:
            reader = pa.ipc.open_file(mapped)
            batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
            return Payload(self.schema, batches, sizes)

    def _spill(self) -> None:
        if self._sink is None:
            self._sink = pa.ipc.new_file(str(self._file), self.schema)
        for batch in _joined(self.schema, self._held):
            self._sink.write_batch(batch)
        self._held, self._bytes = [], 0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._sink is not None:
            self._sink.close()


def _joined(schema: pa.Schema, batches: list[pa.RecordBatch]) -> list[pa.RecordBatch]:
    found: list[pa.RecordBatch] = pa.Table.from_batches(batches, schema).combine_chunks().to_batches()
    return [batch for batch in found if batch.num_rows]
