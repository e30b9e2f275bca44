"""The result of reading one column, and the slow way to read one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


class Cast(NamedTuple):
    """Attributes:
    values: of the declared type; null where the source is null, NaN or wrong.
    wrong: true where there is a value that does not fit the type.
    naive: times that named no zone and were taken as UTC.
    """

    values: pa.Array
    wrong: npt.NDArray[np.bool_]
    naive: int = 0


def all_right(values: pa.Array) -> Cast:
    """Every value fits."""
    return Cast(values, np.zeros(len(values), bool))


def all_wrong(column: pa.Array, target: pa.DataType) -> Cast:
    """No value fits; nulls are nulls."""
    return Cast(pa.nulls(len(column), target), column.is_valid().to_numpy(zero_copy_only=False))


def right_where(right: npt.NDArray[np.bool_], values: pa.Array, given: npt.NDArray[np.bool_]) -> Cast:
    """The values that are both given and right; one that is given and not right is wrong."""
    return Cast(pc.if_else(pa.array(right & given), values, pa.scalar(None, values.type)), given & ~right)


def one_by_one(column: pa.Array, target: pa.DataType, read: Callable[[Any], Any]) -> Cast:
    """The slow way, for a chunk in which at least one value does not fit; `read` raises ValueError for such a one."""
    values: list[Any] = []
    wrong = np.zeros(len(column), bool)
    for row, value in enumerate(column.to_pylist()):
        try:
            values.append(None if value is None else read(value))
        except (ValueError, ArithmeticError):
            values.append(None)
            wrong[row] = True
    return Cast(pa.array(values, target), wrong)


def is_null_or_boolean(kind: pa.DataType) -> bool:
    """What Arrow casts to any number or text as everybody else does."""
    return bool(pa.types.is_null(kind) or pa.types.is_boolean(kind))


def is_text(kind: pa.DataType) -> bool:
    """Text of any length."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_bytes(kind: pa.DataType) -> bool:
    """Bytes of any length."""
    tests = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    return any(test(kind) for test in tests)


def decoded(column: pa.Array) -> Cast:
    """Bytes as the UTF-8 text that they hold: older Parquet writers do not mark text as such."""
    kind = pa.large_binary() if pa.types.is_large_binary(column.type) else pa.binary()
    try:
        return all_right(column.cast(kind).cast(pa.string()))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return one_by_one(column, pa.string(), lambda value: str(value, "utf-8"))
