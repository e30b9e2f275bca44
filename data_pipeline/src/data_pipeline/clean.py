"""The step `clean`: declared types, times in UTC, no exact duplicates; what does not fit is set aside."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_pipeline.bad_rows import BadRows
from data_pipeline.raw_rows import RawPart, read_raw
from data_pipeline.run_folder import ViewRun
from twinserve.features.feast_repo.views import ViewSpec
from twinserve.features.stored_files.deleted_rows import DELETED
from twinserve.files.atomic import atomic_file
from twinserve.source_values.cast import Cast, all_right
from twinserve.source_values.casting import EXPECTED, arrow_type, cast_column, cast_key
from twinserve.steps.ledger import Ledger
from twinserve.values.times import INSTANT

ROW = "_row"  # number of the raw row that a clean one was made of
LAST = "_last"  # number of the last raw row with the same values


@dataclass
class Cleaned:
    """Typed rows, rows set aside, how many times without a zone each column had, keys and times of all rows, and how
    many of them were deleted later than they happened."""

    table: pa.Table
    bad: BadRows = field(default_factory=BadRows)
    naive: Counter[str] = field(default_factory=Counter)
    present: pa.Table = field(default_factory=lambda: pa.table({}))
    deleted_later: int = 0


def clean(run: ViewRun, view: ViewSpec) -> dict[str, Any]:
    """Turn the raw rows of a run into `clean.parquet` and `rejected.parquet`.

    Returns:
        `rows_in`, `rows_out`, exact `duplicates` dropped, `rejected` rows by reason, under `naive_times_as_utc`
        how many times without a zone each column had, under `deleted_later` how many rows name a time of deletion after
        their event time, and the `ledger`.

    Raises:
        StepMissing: ingest was not run.
        BadInput: a feature's declared type is one that can't be stored, or the definition has changed since ingest.
        LedgerMismatch: rows that ingest wrote are not there.
    """
    run.refuse_others(view)
    run.begin("clean")
    parts = [clean_part(part, view) for part in read_raw(run)]
    if run.outcome("ingest").get("snapshot"):
        _write_present(run, view, parts)
    table = pa.concat_tables([clean_schema(view).empty_table(), *(part.table for part in parts)])
    unique = drop_duplicates(table, list(view.columns))
    bad = BadRows.merged(part.bad for part in parts)
    with atomic_file(run.clean) as draft:
        pq.write_table(unique, draft)
    bad.write(run.rejected)
    duplicates = table.num_rows - unique.num_rows
    went = {"passed_on": unique.num_rows, "set_aside": len(bad)}
    ledger = Ledger(run.outcome("ingest")["rows"], went, {"duplicate": duplicates}).balanced(f"clean of {view.name}")
    outcome = {
        "rows_in": table.num_rows + len(bad),
        "rows_out": unique.num_rows,
        "duplicates": duplicates,
        "rejected": bad.by_reason(),
        "naive_times_as_utc": dict(sum((part.naive for part in parts), Counter())),
        "deleted_later": sum(part.deleted_later for part in parts),
        "ledger": ledger.to_dict(),
        "path": str(run.clean),
    }
    run.finish("clean", outcome)
    return outcome


def stored_schema(view: ViewSpec) -> pa.Schema:
    """The columns and types of the offline store."""
    return pa.schema([(name, arrow_type(kind, name)) for name, kind in view.columns.items()])


def clean_schema(view: ViewSpec) -> pa.Schema:
    """The stored columns, and the number of the raw row."""
    return stored_schema(view).append(pa.field(ROW, pa.int64()))


def clean_part(part: RawPart, view: ViewSpec) -> Cleaned:
    """Type one file of raw rows; a row with a value that fits no type, or without a key or time, is set aside."""
    cleaned = Cleaned(pa.table({}))
    deleted = deletions(part)
    columns: dict[str, pa.Array] = {}
    for name, kind in view.columns.items():
        arrow_type(kind, name)
        if name == DELETED:
            cleaned.bad.add(_rows(deleted.marks.wrong, part), f"{part.source_of[DELETED]}: no boolean, and no time")
            columns[name] = deleted.marks.values
            continue
        cast = cast_key if name in view.join_keys else cast_column
        read = cast(part.table[part.source_of[name]], kind)
        if name in view.features:
            read = without_features(read, deleted.marks)
        columns[name] = read.values
        cleaned.naive[name] += read.naive
        cleaned.bad.add(_rows(read.wrong, part), f"{name}: not {EXPECTED[kind]}")
        if name not in view.features:
            missing = read.values.is_null().to_numpy(zero_copy_only=False) & ~read.wrong
            cleaned.bad.add(_rows(missing, part), f"{name}: missing")
    numbers = np.arange(part.first, part.first + part.table.num_rows)
    table = pa.table({**columns, ROW: pa.array(numbers, pa.int64())}).cast(clean_schema(view))
    cleaned.present = table.select([name for name in view.columns if name not in view.features])
    cleaned.table = table.filter(pa.array(~np.isin(numbers, cleaned.bad.rows())))
    cleaned.naive = +cleaned.naive
    cleaned.deleted_later = deleted.later_than(table[view.timestamp])
    return cleaned


def _write_present(run: ViewRun, view: ViewSpec, parts: list[Cleaned]) -> None:
    names = [name for name in view.columns if name not in view.features]
    none = clean_schema(view).empty_table().select(names)
    with atomic_file(run.present) as draft:
        pq.write_table(pa.concat_tables([none, *(part.present for part in parts)]), draft)


class Deletions(NamedTuple):
    """Attributes:
    marks: true for each row that says that its key was deleted, null for the others.
    times: when, for those that say so; null for the others.
    """

    marks: Cast
    times: pa.Array

    def later_than(self, events: pa.ChunkedArray) -> int:
        """Rows that name a time of deletion which is after their own event time."""
        return pc.sum(pc.greater(self.times, events)).as_py() or 0


def deletions(part: RawPart) -> Deletions:
    """What the column that `deleted` names says of each row; it is a boolean, or a time."""
    rows = part.table.num_rows
    times = pa.nulls(rows, INSTANT)
    if DELETED not in part.source_of:
        return Deletions(all_right(pa.nulls(rows, pa.bool_())), times)
    column = part.table[part.source_of[DELETED]]
    truth = cast_column(column, "BOOL")
    gone, wrong = pc.fill_null(truth.values, fill_value=False).to_numpy(zero_copy_only=False), truth.wrong
    if wrong.any():  # no boolean: the time at which it was deleted
        times = pc.if_else(pa.array(wrong), cast_column(column, "UNIX_TIMESTAMP").values, times)
        is_time = times.is_valid().to_numpy(zero_copy_only=False)
        gone, wrong = gone | is_time, wrong & ~is_time
    return Deletions(Cast(pa.array(np.ones(rows, bool), mask=~gone), wrong), times)


def without_features(read: Cast, deleted: Cast) -> Cast:
    """What a row says of a key that was deleted counts for nothing, and is not kept."""
    gone = pc.fill_null(deleted.values, fill_value=False)
    kept = pc.if_else(gone, pa.scalar(None, read.values.type), read.values)
    return read._replace(values=kept, wrong=read.wrong & ~gone.to_numpy(zero_copy_only=False))


def drop_duplicates(table: pa.Table, columns: list[str]) -> pa.Table:
    """The first of each group of rows that agree in all of `columns`, nulls included, in the order of `ROW`.

    `LAST` is added: where the values came last, for a file that says one thing, then another, then the first again.
    """
    groups = table.group_by(columns).aggregate([(ROW, "min"), (ROW, "max")]).sort_by(f"{ROW}_min")
    unique = table.filter(pc.is_in(table[ROW], value_set=groups[f"{ROW}_min"].combine_chunks()))
    return unique.append_column(LAST, groups[f"{ROW}_max"])


def _rows(marks: npt.NDArray[np.bool_], part: RawPart) -> npt.NDArray[np.int64]:
    return np.flatnonzero(marks).astype(np.int64) + part.first
