"""Training rows come before test rows: a model is judged by how it does on what came later."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from training_pipeline.params import Split
from twinserve.errors import PermanentError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def first_test_moment(times: NDArray[np.int64], split: Split) -> int:
    """The moment from which on rows are test rows.

    Every training row is earlier than every test row; rows of one moment stay together, so the test part may be
    larger than asked for.

    Args:
        times: (rows,), µs since 1970 UTC, in any order.

    Returns:
        µs since 1970 UTC; at least one row is before it, at least one is not.

    Raises:
        PermanentError: there is no such moment.
    """
    if split.test_from is not None:
        moment = (split.test_from - EPOCH) // MICROSECOND
    else:
        moment = _latest_share(np.sort(times), split.test or 0.0)
    before = int((times < moment).sum())
    if before in (0, times.size):
        raise PermanentError(
            f"{times.size} rows can't be split by time: {before} are before {instant(moment).isoformat()}",
            fix="Correct `split`, or give labels of more than one moment",
        )
    return moment


def instant(micros: int) -> datetime:
    """µs since 1970 UTC as a time; what is beyond the calendar becomes its end."""
    try:
        return EPOCH + timedelta(microseconds=micros)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def _latest_share(ordered: NDArray[np.int64], share: float) -> int:
    if not ordered.size:
        return 0
    wanted = max(1, round(ordered.size * share))
    moment = ordered[max(ordered.size - wanted, 0)]
    if moment == ordered[0]:  # ties reach back to the first row: begin with the next moment
        later = ordered[ordered > moment]
        return int(later[0]) if later.size else int(moment)
    return int(moment)
