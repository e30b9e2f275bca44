"""Of a wide view, the features that a person would look at first: a chart of each of 1,500 takes minutes, for nobody.

Three things bring a feature forward: rows that were set aside for it, nulls, and a change against the rows stored
last. None must crowd out the others, so each has its turn.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import chain, zip_longest

import pyarrow as pa
import pyarrow.compute as pc


def first_to_look_at(
    table: pa.Table, before: pa.Table, features: list[str], reasons: Mapping[str, int], most: int
) -> list[str]:
    """At most `most` features, in the order of the definition; all of them where they are no more than that.

    Args:
        table: rows that passed.
        before: rows of the same columns that were stored before; empty where there are none.
        reasons: `<feature>: …` → rows set aside.
    """
    if len(features) <= most:
        return features
    set_aside: Counter[str] = Counter()
    for reason, rows in reasons.items():
        set_aside[reason.partition(": ")[0]] += rows
    nulls = {name: table[name].null_count for name in features}
    moved = {name: change(table[name], before[name]) for name in features}
    turns = zip_longest(*(_worst_first(figures, features) for figures in (set_aside, nulls, moved)))
    chosen = dict.fromkeys(name for name in chain(chain.from_iterable(turns), features) if name is not None)
    return sorted(list(chosen)[:most], key=features.index)


def change(now: pa.ChunkedArray, before: pa.ChunkedArray) -> float:
    """How far two samples of a column lie apart: by their means, in standard deviations of the earlier one, and by
    their shares of nulls. Of what is no number, by the nulls alone; 0 where one of them is empty."""
    if not len(now) or not len(before):
        return 0.0
    nulls: float = abs(now.null_count / len(now) - before.null_count / len(before))
    if not (pa.types.is_integer(now.type) or pa.types.is_floating(now.type)):
        return nulls
    means = [pc.mean(column).as_py() for column in (now, before)]
    if None in means:
        return nulls
    apart: float = abs(means[0] - means[1])
    spread: float = pc.stddev(before).as_py() or 0.0
    moved = apart / spread if spread else float(apart > 0)
    return nulls + (moved if math.isfinite(moved) else 1.0)


def _worst_first(figures: Mapping[str, float], features: Iterable[str]) -> list[str]:
    return sorted((name for name in features if figures[name]), key=lambda name: -figures[name])
