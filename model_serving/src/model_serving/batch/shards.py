"""Rows cut into files of a fixed number of rows: the same rows give the same files, however they arrive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from twinserve.files.atomic import atomic_file

IDENTITY = "twinserve.extraction"  # in the footer of each step file
CHUNK = 65_536  # rows scored at a time; fixed, since the size of a matrix may move the last bit of a product


def shard_name(shard: int) -> str:
    """The file's name; by name they are in the order of the rows."""
    return f"part-{shard:05}.parquet"


def write_shards(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, folder: Path, shard_rows: int, identity: str
) -> int:
    """Write step files that the next step reads once: quick to write and read, each there whole or not at all.

    Args:
        identity: of the extraction; each file bears it.

    Returns:
        The number of rows.
    """
    rows = 0
    for shard, groups in groupby(row_groups(batches, shard_rows), key=lambda found: found[0]):
        with atomic_file(folder / shard_name(shard)) as draft, scratch_writer(draft, schema) as writer:
            for _, table in groups:
                writer.write_table(table, row_group_size=CHUNK)
                rows += table.num_rows
            writer.add_key_value_metadata({IDENTITY: identity})
    return rows


def scratch_writer(file: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """A writer that spends no time on what a step file has no use for."""
    return pq.ParquetWriter(file, schema, compression="lz4", use_dictionary=texts(schema), write_statistics=False)


def identity_of(metadata: pq.FileMetaData) -> str:
    """The extraction that a step file is of; empty where it bears none."""
    found: dict[bytes, bytes] = metadata.metadata or {}
    return found.get(IDENTITY.encode(), b"").decode(errors="replace")


def texts(schema: pa.Schema) -> list[str]:
    """The columns that a dictionary makes smaller and quicker to write; numbers it does not."""
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_dictionary)
    return [field.name for field in schema if any(kind(field.type) for kind in kinds)]


def row_groups(batches: Iterable[pa.RecordBatch], shard_rows: int) -> Iterator[tuple[int, pa.Table]]:
    """Tables of `CHUNK` rows with the number of their shard; the last one of a shard may be shorter."""
    shard = in_shard = 0
    begun: list[pa.RecordBatch] = []
    for batch in batches:
        rest = batch
        while rest.num_rows:
            room = min(CHUNK, shard_rows - in_shard) - sum(part.num_rows for part in begun)
            begun.append(rest.slice(0, room))
            rest = rest.slice(room)
            if begun[-1].num_rows == room:
                table, begun = pa.Table.from_batches(begun), []
                yield shard, table
                in_shard += table.num_rows
                if in_shard == shard_rows:
                    shard, in_shard = shard + 1, 0
    if begun:
        yield shard, pa.Table.from_batches(begun)
