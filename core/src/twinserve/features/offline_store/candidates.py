"""The feature rows of one view that the join can choose from: a DuckDB table of keys and times, values beside it.

The table has the keys `k0, k1 …`, `since` (the moment from which on the row is the one to take), `event` (its event
time) and `fid`, the number under which its values are found; negative where the row says that the key was deleted. No
two rows of one key have the same `since`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from twinserve.features.offline_store.payload import Payload, PayloadWriter
from twinserve.features.offline_store.point_in_time import JoinedView
from twinserve.features.stored_files.deleted_rows import DELETED
from twinserve.features.stored_files.feast_arrow import cast_column, key_type
from twinserve.features.stored_files.feature_rows import FeatureFiles, column_of
from twinserve.features.stored_files.source_files import parquet_files
from twinserve.values.times import INSTANT


@dataclass(frozen=True)
class Candidates:
    """Attributes:
    table: name of the DuckDB table.
    payload: the values by `fid`, one column per feature asked for.
    rows: feature rows read.
    """

    table: str
    payload: Payload
    rows: int


def read_candidates(
    connection: duckdb.DuckDBPyConnection,
    view: JoinedView,
    files: list[Path],
    table: str,
    folder: Path,
    *,
    known_at_the_time: bool = False,
) -> Candidates:
    """Read the files into `table` and a payload, ties broken.

    Args:
        folder: where a payload too large for memory goes.
        known_at_the_time: a row counts only from its time of creation on.

    Raises:
        BadInput: a file can't be used; it is named.
        TransientError: a file was replaced meanwhile.
    """
    needed = [*view.keys, view.timestamp, *([view.created] if view.created else [])]
    kinds = {name: view.types[name] for name in view.features.values()}
    source = FeatureFiles(view.name, files, needed, kinds, stored=lambda: parquet_files(view.path))
    cutoff = known_at_the_time and view.created is not None
    raw = f"{table}_raw"
    payload = _load(connection, view, source, raw, folder / f"{table}.arrow")
    keys = [f"k{i}" for i in range(max(len(view.keys), 1))]
    ties = Ties(connection, raw, [*keys, "event", *(["made"] if cutoff else [])])
    if ties.found():
        ties.settle()
    _mark_deleted(connection, raw, source)
    shape = _as_known(raw, keys) if cutoff else f"SELECT {', '.join(keys)}, event AS since, event, fid FROM {raw}"
    connection.execute(f"CREATE TABLE {table} AS {shape} ORDER BY ALL")
    connection.execute(f"DROP TABLE {raw}")
    return Candidates(table, payload, source.rows)


def _load(
    connection: duckdb.DuckDBPyConnection, view: JoinedView, source: FeatureFiles, table: str, file: Path
) -> Payload:
    """Number the rows; keys and times go to DuckDB, values to the payload. Rows without key or time can't match."""
    kinds = [key_type(kind) for _, kind in view.keys.values()] or [pa.int8()]
    fields = [pa.field(f"k{i}", kind) for i, kind in enumerate(kinds)]
    times = [pa.field(name, pa.int64()) for name in ("event", "made", "fid")]
    times += [pa.field("gone", pa.bool_())] if source.has_deleted else []
    connection.register("empty", pa.schema([*fields, *times]).empty_table())
    connection.execute(f"CREATE TABLE {table} AS FROM empty")
    known = " AND ".join(f"{name} IS NOT NULL" for name in ["event", *(field.name for field in fields)])
    schema = pa.schema([(name, kind) for name, kind in source.features.items()])
    rows = 0
    with PayloadWriter(schema, file) as writer:
        for path, batch in source.batches():
            connection.register("batch", _keys_and_times(view, path, batch, rows))
            connection.execute(f"INSERT INTO {table} BY NAME FROM batch WHERE {known}")
            writer.add(batch.select(schema.names))
            rows += batch.num_rows
        return writer.finish()


def _keys_and_times(view: JoinedView, file: Path, batch: pa.Table, first: int) -> pa.Table:
    columns: dict[str, object] = {}
    for i, (column, (_, kind)) in enumerate(view.keys.items()):
        with column_of(file, column, kind):
            columns[f"k{i}"] = cast_column(batch[column], key_type(kind))
    if not columns:
        columns["k0"] = pa.array(np.zeros(batch.num_rows, np.int8))  # one key for all
    columns["event"] = _micros(file, batch, view.timestamp)
    columns["made"] = _micros(file, batch, view.created) if view.created else pa.nulls(batch.num_rows, pa.int64())
    columns["fid"] = pa.array(np.arange(first, first + batch.num_rows))
    return pa.table(columns | ({"gone": batch[DELETED]} if DELETED in batch.column_names else {}))


def _micros(file: Path, batch: pa.Table, column: str) -> pa.Array:
    with column_of(file, column, "a time"):
        return cast_column(batch[column], INSTANT).cast(pa.int64())


def _mark_deleted(connection: duckdb.DuckDBPyConnection, table: str, source: FeatureFiles) -> None:
    """After ties are settled, which needs the numbers: a negative one says that there are no values."""
    if source.has_deleted:
        connection.execute(f"UPDATE {table} SET fid = -1 WHERE gone")


def _as_known(raw: str, keys: list[str]) -> str:
    """From the later of event and creation on, the row with the greatest event time of all known by then."""
    partition = ", ".join(keys)
    best = (
        f"max(struct_pack(event := event, made := made, fid := fid)) OVER (PARTITION BY {partition} "
        "ORDER BY greatest(event, made) RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
    )
    known = f"SELECT {partition}, greatest(event, made) AS since, {best} AS best FROM {raw} WHERE made IS NOT NULL"
    return f"SELECT DISTINCT {partition}, since, best.event AS event, best.fid AS fid FROM ({known})"


class Ties:
    """Rows of one group: the last created stays, of those the one that was written last.

    Args:
        table: with `made` and `fid` beside the columns of `group`; numbers ascend with the names of files, and with
            the rows of a file.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, table: str, group: list[str]) -> None:
        self._connection, self._table, self._group = connection, table, ", ".join(group)

    def found(self) -> bool:
        """Whether there are any; what is slow is done only for them."""
        tied = f"SELECT {self._group} FROM {self._table} GROUP BY {self._group} HAVING count(*) > 1"
        made = self._connection.execute(f"CREATE OR REPLACE TABLE tied AS {tied}")
        return made.fetchall() != [(0,)]  # how many rows it has

    def settle(self) -> None:
        """Delete the losers."""
        rank = f"row_number() OVER (PARTITION BY {self._group} ORDER BY made DESC NULLS LAST, fid DESC)"
        losers = f"SELECT fid FROM {self._table} SEMI JOIN tied USING ({self._group}) QUALIFY {rank} > 1"
        self._connection.execute(f"DELETE FROM {self._table} WHERE fid IN ({losers})")
        self._connection.execute("DROP TABLE tied")
