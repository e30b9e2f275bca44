"""Source values as the types that the feature view declares; what does not fit is told apart from null."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from twinserve.arrow_types import ARROW_TYPES
from twinserve.errors import BadInput
from twinserve.times import as_instants

EXPECTED = {
    "INT32": "a whole number of 32 bits",
    "INT64": "a whole number of 64 bits",
    "FLOAT": "a finite number",
    "DOUBLE": "a finite number",
    "STRING": "text",
    "BOOL": "true or false",
    "UNIX_TIMESTAMP": "a time",
}
_TRUTH = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


class Cast(NamedTuple):
    """Attributes:
    values: of the declared type; null where the source is null, NaN or wrong.
    wrong: true where there is a value that does not fit the type.
    naive: times that named no zone and were taken as UTC.
    """

    values: pa.Array
    wrong: npt.NDArray[np.bool_]
    naive: int = 0


def arrow_type(feast_type: str, column: str) -> pa.DataType:
    """The stored type of a column.

    Raises:
        BadInput: a Feast type that the offline store does not hold (lists, maps, bytes).
    """
    try:
        return ARROW_TYPES[feast_type]
    except KeyError:
        raise BadInput(
            f"{column} is declared as {feast_type}, which can't be ingested", fix=f"Use one of {', '.join(ARROW_TYPES)}"
        ) from None


def cast_column(column: pa.Array, feast_type: str) -> Cast:
    """Read one column of a source as `feast_type`. NaN counts as null: pandas writes nulls so."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if feast_type == "UNIX_TIMESTAMP":
        return Cast(*as_instants(column))
    if feast_type in ("FLOAT", "DOUBLE"):
        return _finite(_numbers(column), ARROW_TYPES[feast_type])
    target, read = ARROW_TYPES[feast_type], _READERS[feast_type]
    if column.type == target or not _misleading(column.type, target):
        try:
            return Cast(column.cast(target), np.zeros(len(column), bool))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            pass
    return _one_by_one(column, target, read)


def _misleading(found: pa.DataType, target: pa.DataType) -> bool:
    """Casts that Arrow has, but that mean something else: ticks of a time, `1001.0` for a key, any number as true."""
    return bool(
        (pa.types.is_integer(target) and pa.types.is_temporal(found))
        or (pa.types.is_string(target) and pa.types.is_floating(found))
        or pa.types.is_boolean(target)
    )


def _numbers(column: pa.Array) -> Cast:
    text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    if pa.types.is_temporal(column.type):
        return _all_wrong(column, pa.float64())
    try:
        # unsafe for numbers: an integer above 2^53 may lose digits, as it would in any float column
        return Cast(column.cast(pa.float64(), safe=text), np.zeros(len(column), bool))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return _one_by_one(column, pa.float64(), _number)


def _all_wrong(column: pa.Array, target: pa.DataType) -> Cast:
    return Cast(pa.nulls(len(column), target), pc.is_valid(column).to_numpy(zero_copy_only=False))


def _finite(read: Cast, target: pa.DataType) -> Cast:
    numbers = pc.if_else(pc.is_nan(read.values), pa.scalar(None, pa.float64()), read.values)
    with np.errstate(over="ignore"):
        values = numbers.cast(target, safe=False)
    infinite = pc.fill_null(pc.is_inf(values), fill_value=False)
    wrong = infinite.to_numpy(zero_copy_only=False) | read.wrong
    return Cast(pc.if_else(infinite, pa.scalar(None, target), values), wrong)


def _one_by_one(column: pa.Array, target: pa.DataType, read: Callable[[Any], Any]) -> Cast:
    """The slow way, for a chunk in which at least one value does not fit."""
    values: list[Any] = []
    wrong = np.zeros(len(column), bool)
    for row, value in enumerate(column.to_pylist()):
        try:
            values.append(None if value is None else read(value))
        except (ValueError, InvalidOperation, OverflowError):
            values.append(None)
            wrong[row] = True
    return Cast(pa.array(values, target), wrong)


def _number(value: Any) -> float:
    return float(_plain(value))


def _whole_of(bits: int) -> Callable[[Any], int | None]:
    bound = 2 ** (bits - 1)

    def whole(value: Any) -> int | None:
        if isinstance(value, float) and math.isnan(value):
            return None
        number = Decimal(_plain(value))
        if not -bound <= number < bound or number != int(number):
            raise ValueError
        return int(number)

    return whole


def _plain(value: Any) -> str:
    """A number's text; Python would also take `1_000`, which no source means."""
    text = str(value).strip()
    if "_" in text:
        raise ValueError
    return text


def _truth(value: Any) -> bool:
    try:
        return _TRUTH[str(value).strip().lower()]
    except KeyError:
        raise ValueError from None


def _text(value: Any) -> str | None:
    """Whole floats lose their `.0`: pandas makes floats of integer keys where one is null."""
    if isinstance(value, float):
        return None if math.isnan(value) else str(int(value)) if value.is_integer() else str(value)
    return value.decode() if isinstance(value, bytes) else str(value)


_READERS: dict[str, Callable[[Any], Any]] = {
    "INT32": _whole_of(32),
    "INT64": _whole_of(64),
    "STRING": _text,
    "BOOL": _truth,
}
