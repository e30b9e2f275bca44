"""Batches to a Parquet file while the next one is made."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from twinserve.files.atomic import atomic_file
from twinserve.steps.progress import RowProgress


def write_batches(batches: Generator[pa.RecordBatch], target: Path, progress: RowProgress) -> int:
    """Write batches to a file that appears whole, one row group each up to a million rows; returns the rows.

    Args:
        batches: at least one; closed at the end, whatever that is.

    Raises:
        TransientError: the disk is full.
    """
    with closing(batches), atomic_file(target) as draft:
        first = next(batches)
        with pq.ParquetWriter(draft, first.schema, compression="zstd", use_dictionary=False) as parquet:
            return _overlapped(chain([first], batches), parquet, progress)


def _overlapped(batches: chain[pa.RecordBatch], parquet: pq.ParquetWriter, progress: RowProgress) -> int:
    """One batch is written while the next is made; no more than these two are held."""
    rows, writing = 0, None
    with ThreadPoolExecutor(1, thread_name_prefix="parquet") as writer:
        for batch in batches:
            if writing:
                writing.result()
            writing = writer.submit(parquet.write_batch, batch)
            rows += batch.num_rows
            progress.advance(batch.num_rows)
        if writing:
            writing.result()
    return rows
