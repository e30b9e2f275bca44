"""Rows of the point-in-time join as the numbers that a model sees: one way, for learning and for scoring."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from twinserve.contract import Contract
from twinserve.features.offline_store.point_in_time import EVENT_TIME_SUFFIX
from twinserve.missing import NO_EVENT, Matrix
from twinserve.values.times import as_instants

Joined: TypeAlias = pa.Table | pa.RecordBatch
Column: TypeAlias = pa.Array | pa.ChunkedArray


def feature_values(joined: Joined, contract: Contract) -> Matrix:
    """The contract's features in its order, (rows, features).

    An integer beyond 2^53 is the nearest float64, a boolean 0 or 1, null NaN.
    """
    return np.column_stack([_floats(joined[name]) for name in contract.columns])


def feature_event_times(joined: Joined, contract: Contract) -> NDArray[np.int64]:
    """When the row was that each value came from, (rows, features), as `twinserve.missing.cell_status` takes it."""
    times = {view: micros(joined[view + EVENT_TIME_SUFFIX]) for view in contract.views}
    return np.column_stack([times[feature.view] for feature in contract.features])


def micros(times: Column) -> NDArray[np.int64]:
    """A column of times as µs since 1970 UTC, (rows,); `NO_EVENT` for null."""
    since: NDArray[np.int64] = pc.fill_null(as_instants(times).values.cast(pa.int64()), int(NO_EVENT)).to_numpy()
    return since


def _floats(column: Column) -> NDArray[np.float64]:
    # unsafe: Arrow would refuse an integer that float64 has to round
    numbers = pc.fill_null(pc.cast(column, pa.float64(), safe=False), float("nan"))
    floats: NDArray[np.float64] = np.asarray(numbers, dtype=np.float64)
    return floats
