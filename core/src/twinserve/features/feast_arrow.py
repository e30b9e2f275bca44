"""What the values of each Feast type are in Arrow, and stored columns brought to it."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from feast.types import Array, Set, from_feast_to_pyarrow_type

from twinserve.arrow_types import ARROW_TYPES
from twinserve.times import INSTANT, as_instants

_CALENDAR = (-62_135_596_800_000_000, 253_402_300_800_000_000)  # microseconds: the years 1 to 9999
# the types in which keys of the two sides are compared
_KEY_TYPES = {
    "INT32": pa.int64(),
    "INT64": pa.int64(),
    "FLOAT": pa.float32(),
    "DOUBLE": pa.float64(),
    "BOOL": pa.bool_(),
    "BYTES": pa.binary(),
    "UNIX_TIMESTAMP": INSTANT,
}


def declared_type(dtype: Any) -> pa.DataType | None:
    """The Arrow type that a feature of this Feast type comes out with; None for as it is stored.

    Scalars and lists of scalars have one. Maps, structs, JSON, UUIDs and decimals do not: Feast itself takes
    several forms of them.
    """
    kind = dtype.to_value_type().name
    if kind in ARROW_TYPES:
        return ARROW_TYPES[kind]
    if kind == "BYTES":
        return pa.binary()
    if isinstance(dtype, Array | Set) and dtype.base_type.to_value_type().name in ARROW_TYPES:
        return from_feast_to_pyarrow_type(dtype)
    return None


def key_type(feast_type: str) -> pa.DataType:
    """The Arrow type in which keys of a Feast value type are compared."""
    return _KEY_TYPES.get(feast_type, pa.string())


def cast_column(values: pa.ChunkedArray | pa.Array, target: pa.DataType | None) -> pa.Array | pa.ChunkedArray:
    """Bring a column to `target`; times without a zone are UTC, and lose what is below a microsecond.

    Raises:
        ValueError: a value does not fit; no number is cut to a whole one, none overflows.
    """
    if target is not None and target.equals(INSTANT):
        return _instants(values)
    if target is None or values.type.equals(target):
        return values
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    try:
        # whole numbers become the nearest float, as everywhere
        return pc.cast(values, target, safe=not pa.types.is_floating(target))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValueError(str(error)) from error


def _instants(values: pa.ChunkedArray | pa.Array) -> pa.Array | pa.ChunkedArray:
    if pa.types.is_timestamp(values.type) and values.type.unit == "us" and _in_calendar(values):
        return values.cast(INSTANT)
    read = as_instants(values)
    if read.wrong.any():
        wrong = values[int(read.wrong.argmax())]  # Python can't show a timestamp that it can't hold
        shown = f"{wrong.value} of {wrong.type}" if pa.types.is_timestamp(wrong.type) else str(wrong)
        raise ValueError(f"{shown} is no time")
    return read.values


def _in_calendar(micros: pa.ChunkedArray | pa.Array) -> bool:
    """Whether all lie in the years 1 to 9999."""
    ends = pc.min_max(micros.cast(pa.int64()))
    low, high = ends["min"].as_py(), ends["max"].as_py()
    return low is None or (low >= _CALENDAR[0] and high < _CALENDAR[1])
