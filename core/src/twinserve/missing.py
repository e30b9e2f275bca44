"""Missing is a value: why a feature is not there, and whether its row may still be scored.

Given are values, the event time of each view's match, and the moment at which the answer is wanted. Batch asks this
module itself; the reader of Redis takes its statuses from bytes, and a property test holds them to those from here.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from twinserve.contract import Contract, MissingPolicy

Matrix = NDArray[np.float64]
NO_EVENT = np.iinfo(np.int64).min  # stands for "no such row" in an array of event times


class Status(IntEnum):
    """What is known of one feature of one row. The order is the order of precedence in a row's reason."""

    PRESENT = 0
    NULL = 1  # the latest row has no value here
    STALE = 2  # the latest row is older than the view's TTL
    UNKNOWN = 3  # no row was seen for this key by then


REASONS = {Status.NULL: "null", Status.STALE: "stale", Status.UNKNOWN: "unknown"}


def cell_status(
    contract: Contract, values: Matrix, event_times: NDArray[np.int64], asked: NDArray[np.int64]
) -> NDArray[np.int8]:
    """The `Status` of each cell.

    Args:
        values: (rows, features), NaN where there is none.
        event_times: (rows, features), µs since 1970 UTC of the row that each value came from, or `NO_EVENT`.
        asked: (rows,), µs since 1970 UTC at which the answer is wanted. A row of a later event is not known yet.

    Returns:
        (rows, features)
    """
    age = asked[:, None] - np.where(event_times == NO_EVENT, asked[:, None], event_times)
    limits = np.array([_micros(feature.ttl_seconds) for feature in contract.features], dtype=np.int64)
    status = np.where(np.isnan(values), Status.NULL, Status.PRESENT)
    status = np.where(age > limits, Status.STALE, status)
    known: NDArray[np.int8] = np.where((event_times == NO_EVENT) | (age < 0), Status.UNKNOWN, status).astype(np.int8)
    return known


def row_reason(policy: MissingPolicy, status: NDArray[np.int8]) -> NDArray[np.int8]:
    """The `Status` for which each row is left out, `PRESENT` for rows that are scored; (rows,)."""
    tolerated = [kind for kind, reason in REASONS.items() if getattr(policy, reason) == "pass_as_nan"]
    counted = np.where(np.isin(status, tolerated), Status.PRESENT, status)
    reasons: NDArray[np.int8] = counted.max(axis=1, initial=Status.PRESENT).astype(np.int8)
    return reasons


def model_input(values: Matrix, status: NDArray[np.int8]) -> Matrix:
    """What the model sees: the values, and NaN for whatever is not present (a stale value must not slip in)."""
    return np.where(status == Status.PRESENT, values, np.nan)


def _micros(seconds: int | None) -> int:
    return np.iinfo(np.int64).max if seconds is None else seconds * 1_000_000
