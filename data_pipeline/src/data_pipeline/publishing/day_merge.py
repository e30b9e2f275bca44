"""The rows of one day, stored and just read, brought together."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data_pipeline.publishing.corrections import Correction, Decision, corrections
from data_pipeline.publishing.offline_files import StoredDay, day_file, differs, identity
from data_pipeline.sources import Rule
from twinserve.errors import BadInput
from twinserve.features.feast_repo.views import ViewSpec

Flags = npt.NDArray[np.bool_]
TAKEN: tuple[Decision, ...] = ("replaced", "filled")


@dataclass(frozen=True)
class DayMerge:
    """What publishing the rows of a day comes to.

    Attributes:
        rows: what the day's file is to hold, sorted by identity.
        changed: whether that differs from what it holds, in rows or in columns.
        counts: `new`, `already` and each decision on a row that differs from the stored one → rows that were read.
        found: the rows that differ.
    """

    day: date
    rows: pa.Table
    changed: bool
    counts: Counter[str]
    found: list[Correction]


def merge_day(day: date, stored: StoredDay, read: pa.Table, view: ViewSpec, rule: Rule, read_later: Flags) -> DayMerge:
    """Decide for each row that was read whether it comes to the store.

    Args:
        read: one row for each identity, in stored columns.
        read_later: for each of them, whether the store has had it from a later read.

    Raises:
        BadInput: stored rows have the same keys and times.
    """
    ranked, is_read, later = _side_by_side(stored.rows, read, read_later, view)
    starts = differs(ranked, identity(view))
    _refuse_twins(day, starts, is_read, stored.rows, view)
    differing = differs(ranked, list(view.features)) & ~starts
    anew = differs(ranked, [name for name in view.features if name not in stored.absent]) & differing
    decided = _decide(differing, anew, later, rule, retyped=bool(stored.retyped))
    taken = np.logical_or.reduce([decided[name] for name in TAKEN])
    counts = Counter(new=int((starts & is_read).sum()), already=int((~starts & ~differing).sum()))
    counts.update({name: int(flags.sum()) for name, flags in decided.items() if flags.any()})
    found = [c for name, flags in decided.items() for c in _listed(ranked, flags, view, name)]
    lost = np.append(taken[1:], [False]) | (~starts & ~taken)
    # null for null is no change, but the file gets its column: else no stored file might have the feature. Not where a
    # stored row was not read: its null would be taken for the source's
    completed = bool(stored.absent) and int((~starts & is_read).sum()) == stored.rows.num_rows
    return DayMerge(
        day,
        _with_undeclared(ranked, taken, view).filter(pa.array(~lost)).combine_chunks(),
        bool(counts["new"] or taken.any() or stored.retyped or completed),
        counts,
        found,
    )


def _side_by_side(stored: pa.Table, read: pa.Table, read_later: Flags, view: ViewSpec) -> tuple[pa.Table, Flags, Flags]:
    """All rows sorted by identity, a stored one before the one that was read; whether each was read; and read later."""
    side = np.repeat(np.array([0, 1], np.int8), [stored.num_rows, read.num_rows])
    flags = {"_read": pa.array(side), "_later": pa.array(np.append(np.zeros(stored.num_rows, bool), read_later))}
    both = pa.concat_tables([stored, read], promote_options="default")
    for name, values in flags.items():
        both = both.append_column(name, values)
    ranked = both.sort_by([(name, "ascending") for name in (*identity(view), "_read")])
    is_read, later = (ranked[name].to_numpy().astype(bool) for name in flags)
    return ranked.drop_columns(list(flags)), is_read, later


def _refuse_twins(day: date, starts: Flags, is_read: Flags, stored: pa.Table, view: ViewSpec) -> None:
    if twins := int((~starts & ~is_read).sum()):
        others = [name for name in stored.column_names if name not in view.columns]
        raise BadInput(
            f"{day_file(view, day)} was written with other keys or times than feature view {view.name} has: it holds "
            f"{twins:,} rows more than one of the same {', '.join(identity(view))}"
            + (f", told apart by {', '.join(others)}" if others else ""),
            fix=f"Restore the keys and times in the definitions; or move {view.path} away and read all rows again",
        )


def _decide(differing: Flags, anew: Flags, later: Flags, rule: Rule, *, retyped: bool) -> dict[Decision, Flags]:
    """What is done with each row that differs from the stored one before it."""
    if retyped:  # every stored row is replaced, or the run would have been refused
        return {"replaced": differing, "filled": differing & False}
    by_rule: dict[Rule, Decision] = {"latest_read": "replaced", "keep_first": "keep_first", "refuse": "refused"}
    decided: dict[Decision, Flags] = dict.fromkeys(TAKEN, differing & False)
    decided |= {"filled": differing & ~anew & ~later, "older_read": differing & later}
    decided[by_rule[rule]] = anew & ~later
    return decided


def _listed(ranked: pa.Table, flags: Flags, view: ViewSpec, decision: Decision) -> list[Correction]:
    at = np.flatnonzero(flags)
    return corrections(ranked.take(pa.array(at - 1)), ranked.take(pa.array(at)), view, decision) if len(at) else []


def _with_undeclared(ranked: pa.Table, taken: Flags, view: ViewSpec) -> pa.Table:
    """A row that takes the place of another keeps what that one has in columns that the view does not declare."""
    places = pa.array(np.arange(len(taken)) - taken)
    columns = {
        name: ranked[name] if name in view.columns else ranked[name].take(places) for name in ranked.column_names
    }
    return pa.table(columns)
