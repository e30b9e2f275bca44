"""What the values of each Feast type are in Arrow, and stored columns brought to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from feast.types import Array, Set, from_feast_to_pyarrow_type

from twinserve.source_values import casting as source_values
from twinserve.source_values.cast import is_text
from twinserve.source_values.plain_columns import plain_column
from twinserve.source_values.shown import shown
from twinserve.values.arrow_types import ARROW_TYPES, STORED_TYPES
from twinserve.values.times import INSTANT, as_instants

_CALENDAR = (-62_135_596_800_000_000, 253_402_300_800_000_000)  # microseconds: the years 1 to 9999
_SCALARS = {kind: name for name, kind in ARROW_TYPES.items()}
# the types in which keys of the two sides are compared: those of 32 bits with entity rows of 64
_KEY_TYPES = {**STORED_TYPES, "INT32": pa.int64()}


def declared_type(dtype: Any) -> pa.DataType | None:
    """The Arrow type that a feature of this Feast type comes out with; None for as it is stored.

    Scalars and lists of scalars have one. Maps, structs, JSON, UUIDs and decimals do not: Feast itself takes
    several forms of them.
    """
    kind = dtype.to_value_type().name
    if kind in STORED_TYPES:
        return STORED_TYPES[kind]
    if isinstance(dtype, Array | Set) and dtype.base_type.to_value_type().name in ARROW_TYPES:
        return from_feast_to_pyarrow_type(dtype)
    return None


def key_type(feast_type: str) -> pa.DataType:
    """The Arrow type in which keys of a Feast value type are compared."""
    return _KEY_TYPES.get(feast_type, pa.string())


def asked_keys(values: pa.ChunkedArray | pa.Array, feast_type: str) -> pa.Array | pa.ChunkedArray:
    """Keys of entity rows, read as those of every source, in the type in which keys are compared.

    Raises:
        ValueError: one is no such key.
    """
    target = key_type(feast_type)
    if not (name := _SCALARS.get(target)):
        return cast_column(values, target)
    read = source_values.cast_key(values, name)
    _refuse(read.wrong, values, target)
    return read.values


def cast_column(values: pa.ChunkedArray | pa.Array, target: pa.DataType | None) -> pa.Array | pa.ChunkedArray:
    """Bring a stored column to `target`, as `point_in_time.typed` does in SQL.

    Times without a zone are UTC, and lose what is below a microsecond.

    Raises:
        ValueError: a value does not fit; no number is cut to a whole one, none overflows.
    """
    if target is not None and target.equals(INSTANT):
        return _instants(values)
    if target is None or values.type.equals(target):
        return values
    if pa.types.is_integer(target):
        return _whole(values, target)
    if pa.types.is_string(target):
        return _text(values)
    values = _plain(values)
    try:
        # whole numbers become the nearest float, as everywhere
        return pc.cast(values, target, safe=not pa.types.is_floating(target))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValueError(str(error)) from error


def _whole(values: pa.ChunkedArray | pa.Array, target: pa.DataType) -> pa.Array:
    """Stored numbers are plain: neither NaN for null nor ` 1` or `1e3` for a number."""
    plain = plain_column(values)
    read = source_values.cast_column(plain, _SCALARS[target])
    wrong = read.wrong | (read.values.is_null().to_numpy(False) & plain.is_valid().to_numpy(False))
    if is_text(plain.type):
        wrong |= ~pc.fill_null(pc.match_substring_regex(plain, "^-?[0-9]+$"), fill_value=True).to_numpy(False)
    _refuse(wrong, values, target)
    return read.values


def _text(values: pa.ChunkedArray | pa.Array) -> pa.Array:
    plain = plain_column(values)
    read = source_values.cast_column(plain, "STRING")
    # 7.0 could be the text 7, 7.0 or 7.00
    spelled = pa.types.is_floating(plain.type) or pa.types.is_decimal(plain.type)
    _refuse(read.wrong | (spelled & plain.is_valid().to_numpy(False)), values, pa.string())
    return read.values


def _plain(values: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Decimals by way of their text: Arrow's own cast to floats is off by a last bit for many."""
    plain = plain_column(values)
    return plain.cast(pa.string()) if pa.types.is_decimal(plain.type) else plain


def _refuse(wrong: npt.NDArray[np.bool_], values: pa.ChunkedArray | pa.Array, target: pa.DataType) -> None:
    if wrong.any():
        raise ValueError(f"{shown(values[int(wrong.argmax())])}, of type {values.type}, is no {target}")


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
