"""Rows of one read that contradict each other: the same keys and times, other values."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data_pipeline.clean import LAST, ROW
from data_pipeline.publishing.corrections import Correction, Decision, corrections
from data_pipeline.publishing.offline_files import differs, identity
from data_pipeline.sources import Rule
from twinserve.features.feast_repo.views import ViewSpec


class Settled(NamedTuple):
    """Attributes:
    kept: one row for each identity, sorted by it, in stored columns.
    superseded: earlier rows of files (later ones under `keep_first`), each with the one that is kept.
    contradicting: numbers of raw rows of which nobody can say which one holds.
    """

    kept: pa.Table
    superseded: list[Correction]
    contradicting: npt.NDArray[np.int64]


def settle(table: pa.Table, view: ViewSpec, rule: Rule, unordered: npt.NDArray[np.int64]) -> Settled:
    """Keep one row for each identity. A file has an order: its last row counts, its first one under `keep_first`.

    A database table has none: of rows that contradict each other there all are set aside.

    Args:
        table: clean rows, distinct, with `ROW` and `LAST`.
        unordered: numbers of the raw rows that come from a source without an order.
    """
    names = identity(view)
    rank = (ROW, "ascending") if rule == "keep_first" else (LAST, "descending")
    ranked = table.sort_by([*((name, "ascending") for name in names), rank])
    first = differs(ranked, names)
    group = np.cumsum(first) - 1
    alone = np.bincount(group, minlength=1)[group] == 1
    doubtful = np.isin(group, group[np.isin(ranked[ROW].to_numpy(), unordered) & ~alone])
    stored = ranked.select(list(view.columns))
    lost = ~first & ~doubtful
    winners = np.maximum.accumulate(np.where(first, np.arange(len(first)), 0))[lost]
    before, after = stored.filter(pa.array(lost)), stored.take(pa.array(winners))
    if rule == "keep_first":
        before, after = after, before
    decision: Decision = "keep_first" if rule == "keep_first" else "refused" if rule == "refuse" else "superseded"
    return Settled(
        stored.filter(pa.array(first & ~doubtful)),
        corrections(before, after, view, decision),
        ranked[ROW].to_numpy()[doubtful],
    )
