"""The replies of one `HashPlan`, decoded: a matrix of numbers and the status of each cell.

A few cells are decoded one by one, many type by type: setting NumPy up costs more than it saves for the few.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from twinserve.errors import PermanentError
from twinserve.features.online_store.feature_reader import OnlineRows
from twinserve.features.online_store.freshness import all_fresh, event_statuses
from twinserve.features.online_store.read_plan import HashPlan
from twinserve.features.redis.layout import decode_event_time, without_mark
from twinserve.features.redis.value_decoding import Cell, number, numbers
from twinserve.missing import Matrix, Status

FEW = 320  # cells
Replies = Sequence[Sequence[Cell]]


def decoded(plan: HashPlan, replies: Replies, asked: int) -> OnlineRows:
    """The rows of one hash each, (replies, features of the plan).

    Raises:
        PermanentError: bytes that are no number, or no event time; names the feature.
    """
    try:
        values = _few(plan, replies) if len(replies) * plan.width <= FEW else _many(plan, replies)
        fresh = all(all_fresh([reply[v.field] for reply in replies], asked, v.ttl) for v in plan.views)
        if fresh and not np.isnan(values).any():
            return OnlineRows(values, np.zeros(values.shape, np.int8), True)
        return _with_status(plan, replies, values, asked)
    except ValueError:
        raise _unreadable(plan, replies) from None


def _few(plan: HashPlan, replies: Replies) -> Matrix:
    width = plan.width
    return np.array([number(cell) for reply in replies for cell in reply[:width]]).reshape(len(replies), width)


def _many(plan: HashPlan, replies: Replies) -> Matrix:
    columns = list(zip(*replies, strict=True))
    values = np.empty((len(replies), plan.width))
    for dtype, places in plan.kinds.items():
        cells = list(chain.from_iterable(columns[place] for place in places))
        values[:, places] = numbers(cells, dtype).reshape(len(places), len(replies)).T
    return values


def _with_status(plan: HashPlan, replies: Replies, values: Matrix, asked: int) -> OnlineRows:
    status: NDArray[np.int8] = np.where(np.isnan(values), np.int8(Status.NULL), np.int8(Status.PRESENT))
    for view in plan.views:
        found = event_statuses([reply[view.field] for reply in replies], asked, view.ttl)
        of_view = np.array(found, dtype=np.int8)[:, None]
        columns = list(view.columns)
        status[:, columns] = np.maximum(status[:, columns], of_view)
    absent = _mark_absent(replies, values, status)
    values[status == Status.UNKNOWN] = np.nan
    return OnlineRows(values, status, not status.any(), tuple(plan.features[place].title for place in absent))


def _mark_absent(replies: Replies, values: Matrix, status: NDArray[np.int8]) -> list[int]:
    """Features without a field beside their view's event time: unknown, since a null would be an empty one.

    The definitions have changed: the row was written without the feature, whatever the time that it bears.
    """
    found: set[int] = set()
    doubtful = np.isnan(values) & (status != Status.UNKNOWN)
    for row in np.flatnonzero(doubtful.any(axis=1)).tolist():
        reply = replies[row]
        if None in reply:
            places = [place for place in np.flatnonzero(doubtful[row]).tolist() if reply[place] is None]
            status[row, places] = Status.UNKNOWN
            found.update(places)
    return sorted(found)


def _unreadable(plan: HashPlan, replies: Replies) -> PermanentError:
    """Which cell it was: looked for only now."""
    for reply in replies:
        for feature, cell in zip(plan.features, reply, strict=False):
            try:
                number(cell)
            except ValueError as error:
                return PermanentError(
                    f"the online store holds no number for {feature.view}:{feature.name}: {error}",
                    fix="Materialize the view anew, into an empty online store",
                )
        for view in plan.views:
            try:
                decode_event_time(without_mark(reply[view.field] or b""))
            except ValueError as error:
                return PermanentError(
                    f"the online store holds no event time for the view {view.stored}: {error}",
                    fix="Materialize the view anew, into an empty online store",
                )
    raise AssertionError("all of it can be read")
