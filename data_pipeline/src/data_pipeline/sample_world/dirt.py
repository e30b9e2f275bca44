"""Defects that real sources have, spread over a table of statistics."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

DEFECTS = ("null", "too_high", "negative", "future", "duplicate")
FUTURE = np.timedelta64(400 * 86_400 * 1_000_000, "us")  # the wrong year, more or less


def soil(stats: pa.Table, fraction: float, rng: np.random.Generator) -> pa.Table:
    """Give about `fraction` of the rows one of `DEFECTS`.

    Null and out-of-range rates replace the true ones; rows with a future event time and exact duplicates
    are added at the end of the table.
    """
    defect = rng.integers(0, len(DEFECTS), stats.num_rows)
    defect[rng.random(stats.num_rows) >= fraction] = -1
    hit = {name: np.flatnonzero(defect == index) for index, name in enumerate(DEFECTS)}
    spoilt = _with_bad_rates(stats, hit, rng)
    future = stats.take(hit["future"])
    ahead = pa.array(future["event_timestamp"].to_numpy().astype("datetime64[us]") + FUTURE)
    future = future.set_column(0, "event_timestamp", ahead.cast(stats.schema.field(0).type))
    return pa.concat_tables([spoilt, future, stats.take(hit["duplicate"])])


def _with_bad_rates(stats: pa.Table, hit: dict[str, npt.NDArray[np.intp]], rng: np.random.Generator) -> pa.Table:
    for name in ("conv_rate", "acc_rate"):
        values = stats[name].to_numpy().copy()
        null = np.zeros(values.size, bool)
        mine = {kind: rows[rng.random(rows.size) < 0.6] for kind, rows in hit.items()}  # noqa: PLR2004 - some rows in both
        null[mine["null"]] = True
        values[mine["too_high"]] += 1.5
        values[mine["negative"]] -= 1.5
        column = pa.array(np.round(values, 4), mask=null)
        stats = stats.set_column(stats.schema.get_field_index(name), name, column)
    return stats
