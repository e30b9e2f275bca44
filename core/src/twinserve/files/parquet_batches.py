"""Parquet files read batch by batch in constant memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

AHEAD = 1_000_000  # rows whose row groups are read by one reader


def parquet_batches(
    parquet: pq.ParquetFile,
    rows: int = 65_536,
    columns: list[str] | None = None,
    row_groups: Iterable[int] | None = None,
) -> Iterator[pa.RecordBatch]:
    """The batches of a file, or of these row groups of it, in order, of at most `rows` rows.

    pyarrow's reader keeps the compressed pages of every row group that it has passed until it is done: over a whole
    file that is the file. So each reader gets a few row groups only.
    """
    asked = range(parquet.metadata.num_row_groups) if row_groups is None else row_groups
    for groups in _together(parquet.metadata, asked):
        options: dict[str, Any] = {} if columns is None else {"columns": columns}
        yield from parquet.iter_batches(rows, row_groups=groups, **options)


def _together(metadata: pq.FileMetaData, asked: Iterable[int]) -> Iterator[list[int]]:
    """Neighbouring row groups of about `AHEAD` rows."""
    groups: list[int] = []
    held = 0
    for i in asked:
        groups.append(i)
        held += metadata.row_group(i).num_rows
        if held >= AHEAD:
            yield groups
            groups, held = [], 0
    if groups:
        yield groups
