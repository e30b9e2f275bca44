"""The join itself, a piece of the entity rows at a time: DuckDB finds the pairs, Arrow fetches the values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from twinserve.errors import BadInput
from twinserve.features.offline_store.candidates import Candidates, read_candidates
from twinserve.features.offline_store.entity_source import EntityRows, QueryRows, moments
from twinserve.features.offline_store.point_in_time import EVENT_TIME_SUFFIX, JoinedView
from twinserve.features.offline_store.row_sizes import Sizes, cuts
from twinserve.features.offline_store.workspace import workspace
from twinserve.features.stored_files.duck import DuckLimits, duck, fetched
from twinserve.features.stored_files.feast_arrow import asked_keys
from twinserve.features.stored_files.source_files import Span, files_touching, parquet_files
from twinserve.values.times import INSTANT

NEVER = np.iinfo(np.int64).min
USUAL_PIECE = 262_144  # rows
LARGEST_PIECE = 4_000_000  # rows
BATCH_BYTES = 256 << 20  # of one batch that is given out: wide rows make shorter ones


@dataclass(frozen=True)
class JoinLimits:
    """Attributes:
    temp: folder below which a workspace is made.
    memory: bytes for DuckDB; None for its share of the machine.
    threads: None for one per core.
    piece: entity rows that are joined at a time, at most; None for a quarter of a million, more for a large view.
    """

    temp: Path
    memory: int | None = None
    threads: int | None = None
    piece: int | None = None

    def duck(self, spill: Path | None = None) -> DuckLimits:
        """The same, for a connection; the pairs of a join may come in any order."""
        return DuckLimits(self.memory, spill, self.threads, ordered=False)


@dataclass(frozen=True)
class Join:
    """Entity rows and the views to join to them.

    Attributes:
        known_at_the_time: leave out feature rows created after the moment that is asked for.
    """

    rows: EntityRows
    views: list[JoinedView]
    limits: JoinLimits
    known_at_the_time: bool = False

    @property
    def total(self) -> int | None:
        """Entity rows, where that is known."""
        return self.rows.total

    def batches(self, *, event_times: bool = False) -> Iterator[pa.RecordBatch]:
        """The entity rows in order, with their features; at least one batch, if only an empty one.

        A batch is a piece of the entity rows, or a part of one where their features are wide.

        Args:
            event_times: add `<view>__event_timestamp` after each view's features: the time of the latest row not
                after the moment, even where it has expired.

        Raises:
            StepMissing: a view has no data.
            BadInput: rows or files that can't be used.
            TransientError: no memory or disk.
        """
        if event_times:
            refuse_taken(self.rows.schema.names, [view.name + EVENT_TIME_SUFFIX for view in self.views])
        with workspace(self.limits.temp) as folder:
            rows = self.rows.run_into(folder) if isinstance(self.rows, QueryRows) else self.rows
            with duck(self.limits.duck(folder)) as connection:
                sides = self._sides(connection, folder, rows.span(), event_times=event_times)
                most = self.limits.piece or _enough_for(max((side.rows for side in sides), default=0))
                empty = True
                for piece in rows.pieces(most):
                    yield from _widened(piece, rows.timestamp, sides)
                    empty = False
                if empty:
                    yield from _widened(rows.schema.empty_table(), rows.timestamp, sides)

    def _sides(
        self, connection: duckdb.DuckDBPyConnection, folder: Path, asked: Span | None, *, event_times: bool
    ) -> list[_Side]:
        sides = []
        for i, view in enumerate(self.views):
            files = needed_files(view, asked, expired=event_times)
            candidates = read_candidates(
                connection, view, files, f"v{i}", folder, known_at_the_time=self.known_at_the_time
            )
            sides.append(_Side(connection, view, candidates, event_times=event_times))
        return sides


def needed_files(view: JoinedView, asked: Span | None, *, expired: bool) -> list[Path]:
    """The files that can hold a match for moments in `asked`.

    Args:
        expired: a row past its TTL is a match too.

    Raises:
        StepMissing: the view has no data at all.
    """
    files = parquet_files(view.path)
    if asked is None or asked.first is None:
        return []
    oldest = None if expired or view.ttl_micros is None else asked.first - view.ttl_micros
    return files_touching(view.path, files, Span(oldest, asked.last))


def refuse_taken(columns: list[str], names: list[str]) -> None:
    """Raises:
    BadInput: entity rows have a column that the result needs for itself.
    """
    if twice := sorted(set(columns) & set(names)):
        raise BadInput(f"entity rows have a column {', '.join(twice)}, which is a feature's name", fix="Rename it")


@dataclass(frozen=True)
class _Matches:
    """Attributes:
    where: feature row of each entity row; negative where there is none that counts.
    times: event time of the latest feature row, expired or not; `NEVER` where there is none, or it says that the key
        was deleted. Empty if not asked for.
    """

    where: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64]


class _Side:
    """One view, loaded."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, view: JoinedView, candidates: Candidates, *, event_times: bool
    ) -> None:
        self._connection, self._view, self._candidates, self._times = connection, view, candidates, event_times
        self.rows = candidates.rows
        keys = [f"asked.k{i} = f.k{i}" for i in range(max(len(view.keys), 1))]
        self._sql = (
            f"SELECT r, fid, f.event FROM asked ASOF JOIN {candidates.table} f "
            f"ON {' AND '.join(keys)} AND asked.moment >= f.since"
        )

    def matched(self, piece: pa.Table, moment: npt.NDArray[np.int64]) -> _Matches:
        """The feature row of every entity row of a piece."""
        rows, fids, at = self._pairs(piece, moment)
        fresh = slice(None) if self._view.ttl_micros is None else moment[rows] - at <= self._view.ttl_micros
        where = np.full(piece.num_rows, -1, np.int64)
        where[rows[fresh]] = fids[fresh]
        times = np.full(piece.num_rows if self._times else 0, NEVER, np.int64)
        if self._times:
            known = fids >= 0
            times[rows[known]] = at[known]
        return _Matches(where, times)

    def sizes(self, matches: _Matches) -> Sizes:
        """Bytes of the features of each row."""
        return self._candidates.payload.sizes(matches.where)

    def columns(self, matches: _Matches, part: slice) -> dict[str, pa.Array]:
        """Feature columns for a part of a piece, and the event time if asked for."""
        payload = self._candidates.payload
        stored = dict(zip(payload.schema.names, payload.take(matches.where[part]), strict=True))
        columns = {name: stored[column] for name, column in self._view.features.items()}
        if self._times:
            times = matches.times[part]
            columns[self._view.name + EVENT_TIME_SUFFIX] = pa.array(times, mask=times == NEVER).cast(INSTANT)
        return columns

    def _pairs(
        self, piece: pa.Table, moment: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Entity row, feature row and its event time, for each entity row that has one."""
        rows = piece.num_rows
        keys = [_key(piece, column, kind) for column, kind in self._view.keys.values()]
        asked = [*(keys or [np.zeros(rows, np.int8)]), moment, np.arange(rows, dtype=np.int32)]
        names = [*(f"k{i}" for i in range(len(keys) or 1)), "moment", "r"]
        self._connection.register("asked", pa.table(asked, names=names))
        found = fetched(self._connection, self._sql)
        self._connection.unregister("asked")
        return found["r"], found["fid"], found["event"]


def _widened(piece: pa.Table, timestamp: str, sides: list[_Side]) -> Iterator[pa.RecordBatch]:
    moment = moments(piece[timestamp])
    found = [(side, side.matched(piece, moment)) for side in sides]
    sizes = np.full(piece.num_rows, piece.nbytes // max(piece.num_rows, 1), np.int64)
    for side, matches in found:
        sizes += side.sizes(matches)
    for begin, end in cuts(sizes, BATCH_BYTES):
        yield _batch(piece.slice(begin, end - begin), [side.columns(m, slice(begin, end)) for side, m in found])


def _batch(part: pa.Table, features: list[dict[str, pa.Array]]) -> pa.RecordBatch:
    columns = dict(zip(part.column_names, part.columns, strict=True))
    fields = list(part.schema)
    for added in features:
        columns |= added
        fields += [pa.field(name, values.type) for name, values in added.items()]
    arrays = [_one_array(values) for values in columns.values()]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields, metadata=part.schema.metadata))


def _one_array(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    if not isinstance(values, pa.ChunkedArray):
        return values
    return values.chunk(0) if values.num_chunks == 1 else values.combine_chunks()


def _key(piece: pa.Table, column: str, kind: str) -> pa.ChunkedArray:
    try:
        return asked_keys(piece[column], kind)
    except ValueError as error:
        raise BadInput(f"entity rows: a key in column {column} is no {kind}: {error}", fix="Correct it") from error


def _enough_for(rows: int) -> int:
    """DuckDB sorts the view's rows anew for every piece: pieces should not be far smaller than the view."""
    return min(max(USUAL_PIECE, rows // 4), LARGEST_PIECE)
