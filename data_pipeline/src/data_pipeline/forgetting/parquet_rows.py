"""The rows of a key in Parquet files: counted, or taken out, each file replaced as a whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from data_pipeline.forgetting.entity_key import KeyColumns
from twinserve.features.stored_files.feature_rows import named
from twinserve.files.atomic import atomic_file

NOTE = b"twinserve.forgotten"  # in the footer of a file that lost rows, how many
Flags = npt.NDArray[np.bool_]


def rows_by_columns(file: Path, ways: Sequence[KeyColumns], *, remove: bool, noted: bool = False) -> int:
    """How many rows of a file are of the key by one of these sets of columns; with `remove` they are gone.

    A file that has none of these sets holds no such rows.

    Args:
        noted: say in the file's footer how many it lost.

    Raises:
        BadInput: the file is damaged.
        TransientError: the disk is full.
    """
    with named(file), pq.ParquetFile(file) as content:
        names = content.schema_arrow.names
    ways = [way for way in ways if way.are_in(names)]
    if not ways:
        return 0
    columns = sorted({name for way in ways for name in way.columns})
    return _rows(file, columns, lambda table: _any([way.rows(table) for way in ways]), remove=remove, noted=noted)


def rows_by_json(file: Path, column: str, ways: Sequence[KeyColumns], *, remove: bool) -> int:
    """The same for a file that has rows as JSON in a column."""
    return _rows(
        file,
        [column],
        lambda table: _any([way.json_rows(table[column].to_pylist()) for way in ways]),
        remove=remove,
        noted=False,
    )


def _any(flags: list[Flags]) -> Flags:
    return np.array(np.logical_or.reduce(flags), bool)


def _rows(file: Path, columns: list[str], of_key: Callable[[pa.Table], Flags], *, remove: bool, noted: bool) -> int:
    with named(file), pq.ParquetFile(file) as content:
        groups = range(content.num_row_groups)
        found = sum(int(of_key(content.read_row_group(group, columns=columns)).sum()) for group in groups)
        if found and remove:
            _rewrite(file, content, of_key, found if noted else 0)
    return found


def _rewrite(file: Path, content: pq.ParquetFile, of_key: Callable[[pa.Table], Flags], lost: int) -> None:
    """Row group by row group, in the file's own compression; what stands in its footer stays."""
    schema, codec = content.schema_arrow, content.metadata.row_group(0).column(0).compression
    with atomic_file(file) as draft, pq.ParquetWriter(draft, schema, compression=_codec(codec)) as writer:
        for group in range(content.num_row_groups):
            table = content.read_row_group(group)
            kept = table.filter(pa.array(~of_key(table)))
            if kept.num_rows:
                writer.write_table(kept, row_group_size=kept.num_rows)
        if lost:
            before = json.loads((content.metadata.metadata or {}).get(NOTE, b'{"rows": 0}'))["rows"]
            writer.add_key_value_metadata({NOTE.decode(): json.dumps({"rows": before + lost})})


def _codec(name: str) -> str:
    return "none" if name == "UNCOMPRESSED" else name.lower()
