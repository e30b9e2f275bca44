"""Whether what is stored can be read by today's definition of a view, asked before anything is written."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from data_pipeline.clean import stored_schema
from data_pipeline.publishing.offline_files import day_files, differs, identity
from data_pipeline.publishing.stored_types import as_declared, is_faithful, told_apart
from twinserve.errors import BadInput
from twinserve.features.feast_repo.views import ViewSpec
from twinserve.features.stored_files.deleted_rows import DELETED
from twinserve.features.stored_files.source_files import PUSHED

SHOWN = 5  # rows named in a message
REREAD = "data-pipeline ingest --run-key NEW --view {view} --full"


def refuse_lost_columns(view: ViewSpec) -> None:
    """Compare every stored file with the definition.

    Raises:
        BadInput: files have no column for a key, the event time or `created`, hold a key in another type, or hold a
            value that a narrowed type has no room for; names file, column, both types and some of the rows.
    """
    declared = stored_schema(view)
    for file in day_files(view).values():
        stored = pq.read_schema(file)
        absent, retyped = told_apart(stored, declared)
        _refuse_identity(view, file, sorted(absent & set(identity(view))))
        _refuse_unmarked(view, file, stored)
        for name in [name for name in retyped if name in identity(view)]:
            raise _changed(view, file, name, retyped[name])
        _refuse_unfit(view, file, stored, declared)
    _refuse_pushed(view, declared)


def _refuse_pushed(view: ViewSpec, declared: pa.Schema) -> None:
    """The same of pushed rows, beside those of a day: no run reads them anew, to fill a type that says more."""
    for file in sorted(view.path.glob(f"day=*/{PUSHED}")):
        stored = pq.read_schema(file)
        absent, retyped = told_apart(stored, declared)
        _refuse_identity(view, file, sorted(absent & set(identity(view))))
        for name, kind in retyped.items():
            raise BadInput(
                f"feature view {view.name} declares {name} as {view.columns[name]}, {file} holds it as {kind}: rows "
                "that were pushed are in no source to be read anew",
                fix="Take the change of the definition back; or move the file away and push its rows again",
            )
        _refuse_unfit(view, file, stored, declared)


def _refuse_identity(view: ViewSpec, file: Path, absent: list[str]) -> None:
    if absent:
        raise BadInput(
            f"{file} was written with other keys or times than feature view {view.name} has: it lacks "
            f"{', '.join(absent)}",
            fix=_way_out(view),
        )


def _refuse_unmarked(view: ViewSpec, file: Path, stored: pa.Schema) -> None:
    """Rows that say that their key was deleted, of a source that says so no more."""
    if DELETED in stored.names and DELETED not in view.features:
        raise BadInput(
            f"{file} has rows which say that their key was deleted, and sources.yaml no `deleted` for {view.name}",
            fix=f"Name it again; or move {view.path} away and read all rows again: {REREAD.format(view=view.name)}",
        )


def _changed(view: ViewSpec, file: Path, name: str, kind: pa.DataType) -> BadInput:
    return BadInput(
        f"feature view {view.name} declares {name} as {view.columns[name]}, {file} holds it as {kind}",
        fix=_way_out(view),
    )


def _way_out(view: ViewSpec) -> str:
    read = REREAD.format(view=view.name)
    return f"Take the change of the definition back; or move {view.path} away and read all rows again: {read}"


def _refuse_unfit(view: ViewSpec, file: Path, stored: pa.Schema, declared: pa.Schema) -> None:
    """Values that a faithful cast has no room for."""
    for field in declared:
        kind = stored.field(field.name).type if field.name in stored.names else field.type
        if kind.equals(field.type) or not is_faithful(kind, field.type):
            continue
        unfit = as_declared(pq.read_table(file, columns=[field.name], partitioning=None)[0], field.type).unfit
        if unfit.any():
            raise BadInput(
                f"feature view {view.name} declares {field.name} as {view.columns[field.name]}, and {unfit.sum():,} "
                f"values of {file}, stored as {kind}, do not fit: {_rows(view, file, unfit, field.name)}",
                fix="Take the declaration back, or correct these rows where they are from, and store them first",
            )


def _rows(view: ViewSpec, file: Path, chosen: npt.NDArray[np.bool_], column: str) -> str:
    names = [*view.join_keys, view.timestamp, column]
    rows = pq.read_table(file, columns=names, partitioning=None).filter(pa.array(chosen)).slice(0, SHOWN)
    shown = ["(" + ", ".join(f"{name} {row[name]}" for name in names) + ")" for row in rows.to_pylist()]
    return ", ".join([*shown, *(["…"] if chosen.sum() > SHOWN else [])])


def renamed(view: ViewSpec) -> str | None:
    """A warning where files lack a feature and have a column that the view does not declare."""
    lacking, strange, days = set[str](), set[str](), 0
    for file in day_files(view).values():
        stored = pq.read_schema(file)
        if lost := set(view.features) - {*stored.names, DELETED}:
            lacking, strange, days = lacking | lost, strange | (set(stored.names) - set(view.columns)), days + 1
    if not strange:
        return None
    new, old = ", ".join(sorted(lacking)), ", ".join(sorted(strange))
    return (
        f"{days:,} stored days have no {new}, which is null there, but {old}, which {view.name} does not declare and "
        f"which stays: was it renamed? {REREAD.format(view=view.name)} fills it"
    )


def refuse_mixed(view: ViewSpec, read: dict[date, pa.Table]) -> None:
    """A type that says more than the stored one needs every stored row anew.

    Args:
        read: the rows to publish, by day.

    Raises:
        BadInput: rows would keep values of the old type beside new ones; names column, both types, and how many rows.
    """
    declared = stored_schema(view)
    for day, file in day_files(view).items():
        _, retyped = told_apart(pq.read_schema(file), declared)
        if not retyped:
            continue
        held = pq.read_table(file, columns=identity(view), partitioning=None)
        missing = held.num_rows - _shared(held, read.get(day), view)
        if missing:
            name, kind = next(iter(retyped.items()))
            raise BadInput(
                f"feature view {view.name} declares {name} as {view.columns[name]}, {file} holds it as {kind}: "
                f"{missing:,} of its rows are not in this run and would keep values of the old type beside new ones",
                fix=f"Take the change back, or read all rows again: {REREAD.format(view=view.name)}, then clean and "
                f"explore-and-validate. Rows that the source no longer has: move {file.parent} away first",
            )


def _shared(held: pa.Table, read: pa.Table | None, view: ViewSpec) -> int:
    """How many of the held rows are among those read."""
    if read is None:
        return 0
    names = identity(view)
    types = stored_schema(view)
    same = pa.table({name: as_declared(held[name], types.field(name).type).values for name in names})
    both = pa.concat_tables([same, read.select(names)]).sort_by([(name, "ascending") for name in names])
    return int(both.num_rows - differs(both, names).sum())
