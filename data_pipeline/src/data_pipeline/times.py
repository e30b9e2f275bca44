"""Times of any make as microseconds UTC."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

INSTANT = pa.timestamp("us", tz="UTC")
_ZONE = re.compile(r"(?:[zZ]|[+-]\d{2}:?\d{2}|[+-]\d{2})\s*$")
_DATE_LENGTH = len("2026-01-31")


class Instants(NamedTuple):
    """Attributes:
    values: `timestamp[us, UTC]`; null where the source is null or no time.
    wrong: true where there is a value that is no time.
    naive: how many named no zone, and were taken as UTC.
    """

    values: pa.Array
    wrong: npt.NDArray[np.bool_]
    naive: int


def as_instants(column: pa.Array) -> Instants:
    """Read timestamps, dates or ISO 8601 text; anything else is no time, since its unit would be a guess."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _from_typed(column, naive=getattr(kind, "tz", None) is None)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _from_text(column)
    nulls = pa.nulls(len(column), INSTANT)
    return Instants(nulls, pc.is_valid(column).to_numpy(zero_copy_only=False), 0)


def _from_typed(column: pa.Array, *, naive: bool) -> Instants:
    # parts of a microsecond are cut off
    instants = column.cast(pa.timestamp("us", getattr(column.type, "tz", None)), safe=False).cast(INSTANT)
    count = len(column) - column.null_count if naive else 0
    return Instants(instants, np.zeros(len(column), bool), count)


def _from_text(column: pa.Array) -> Instants:
    text = column.to_pandas()
    parsed = pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce")
    values = pa.array(parsed.dt.tz_localize(None).to_numpy().astype("datetime64[us]"), pa.timestamp("us"))
    wrong = text.notna().to_numpy() & parsed.isna().to_numpy()
    # the day of a bare date must not be taken for an offset
    zoned = text.str.slice(_DATE_LENGTH).str.contains(_ZONE).fillna(value=False).to_numpy(dtype=bool)
    return Instants(values.cast(INSTANT), wrong, int((parsed.notna().to_numpy() & ~zoned).sum()))
