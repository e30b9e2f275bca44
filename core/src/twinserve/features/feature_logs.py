"""What an online service has served, added to a folder of Parquet files."""

from __future__ import annotations

import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from twinserve.atomic import atomic_file

_ROWS = 1_000_000


def write_logs(data: pa.Table | Path, folder: Path, partition_by: list[str]) -> None:
    """Add rows to `folder`, in files of a new name each; none is ever changed.

    Args:
        data: a table, or a folder of Parquet files.
        partition_by: columns by whose values files are put into `<column>=<value>` folders; they stay in the files.

    Raises:
        TransientError: the disk is full.
    """
    table = data if isinstance(data, pa.Table) else ds.dataset(data, format="parquet").to_table()
    for place, rows in _parts(table, folder, partition_by):
        with atomic_file(place / f"{uuid.uuid4().hex}.parquet") as draft:
            pq.write_table(rows, draft, compression="zstd", row_group_size=_ROWS)


def _parts(table: pa.Table, folder: Path, columns: list[str]) -> list[tuple[Path, pa.Table]]:
    if not columns:
        return [(folder, table)]
    first, rest = columns[0], columns[1:]
    return [
        part
        for value in pc.unique(table[first])
        for part in _parts(_where(table, first, value), folder / f"{first}={value}", rest)
    ]


def _where(table: pa.Table, column: str, value: pa.Scalar) -> pa.Table:
    return table.filter(pc.equal(table[column], value) if value.is_valid else table[column].is_null())
