"""What an online service has served, added to a folder of Parquet files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from twinserve.errors import BadInput
from twinserve.files.atomic import atomic_file

_ROWS = 1_000_000
_NULL = "__HIVE_DEFAULT_PARTITION__"  # what Hive, and pyarrow's reader, take for null


def write_logs(data: pa.Table | Path, folder: Path, partition_by: list[str]) -> None:
    """Add rows to `folder`, in files named by what is in them; none is ever changed.

    The same call again, as after a kill, writes the same files: nothing is there twice. Logs tell requests apart by
    their id and time.

    Args:
        data: a table, or a folder of Parquet files.
        partition_by: columns by whose values files are put into `<column>=<value>` folders, written as Hive does;
            they stay in the files.

    Raises:
        BadInput: the logs have no column of `partition_by`.
        TransientError: the disk is full.
    """
    table = data if isinstance(data, pa.Table) else ds.dataset(data, format="parquet").to_table()
    if lost := [name for name in partition_by if name not in table.column_names]:
        raise BadInput(
            f"logged features have no column {', '.join(lost)} to partition by; they have "
            f"{', '.join(table.column_names)}",
            fix="Correct partition_by of the logging destination",
        )
    for place, rows in _parts(table, folder, partition_by):
        content = pa.BufferOutputStream()
        pq.write_table(rows.combine_chunks(), content, compression="zstd", row_group_size=_ROWS)
        written = content.getvalue()
        with atomic_file(place / f"{hashlib.sha256(written).hexdigest()[:32]}.parquet") as draft:
            draft.write_bytes(written)


def _parts(table: pa.Table, folder: Path, columns: list[str]) -> Iterator[tuple[Path, pa.Table]]:
    if not columns:
        yield folder, table
        return
    first, rest = columns[0], columns[1:]
    # by place, not by value: NaN equals nothing, not even itself
    column = table[first].combine_chunks()
    column = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    codes = column.dictionary_encode(null_encoding="encode")
    for code, value in enumerate(codes.dictionary):
        rows = table.filter(pc.equal(codes.indices, code))
        yield from _parts(rows, folder / f"{quote(first, safe='')}={_written(value)}", rest)


def _written(value: pa.Scalar) -> str:
    text = str(value.as_py()) if value.is_valid else ""
    return quote(text, safe=" ") or _NULL
