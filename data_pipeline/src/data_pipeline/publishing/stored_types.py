"""Stored columns under a declaration that has changed: which types say the same, and which values do not fit."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from twinserve.values.times import as_instants

# stored → declared: what is stored, cast, is what a new read would give. A float can't become a double so: what
# it was rounded from is at the source alone.
FAITHFUL = {
    (pa.int32(), pa.int64()),
    (pa.int32(), pa.float64()),
    (pa.int64(), pa.int32()),
    (pa.int64(), pa.float64()),
    (pa.float64(), pa.float32()),
}


class Recast(NamedTuple):
    """Attributes:
    values: of the declared type; null where the stored value does not fit.
    unfit: whether there is a value that does not fit.
    """

    values: pa.ChunkedArray | pa.Array
    unfit: npt.NDArray[np.bool_]


def is_faithful(stored: pa.DataType, declared: pa.DataType) -> bool:
    """Whether stored values, cast, are those that a new read would give, apart from those that do not fit."""
    same = bool(stored.equals(declared)) or (_is_text(stored) and _is_text(declared))
    return same or (stored, declared) in FAITHFUL or _are_times(stored, declared)


def told_apart(stored: pa.Schema, declared: pa.Schema) -> tuple[frozenset[str], dict[str, pa.DataType]]:
    """The declared columns that a file has not; and those that it has in a type which says less than a new read."""
    absent = frozenset(set(declared.names) - set(stored.names))
    shared = [(field, stored.field(field.name).type) for field in declared if field.name not in absent]
    return absent, {field.name: kind for field, kind in shared if not is_faithful(kind, field.type)}


def as_declared(column: pa.ChunkedArray, declared: pa.DataType) -> Recast:
    """A stored column in the type that the view declares; what does not fit is null."""
    if column.type.equals(declared):
        return Recast(column, np.zeros(len(column), bool))
    values = _cast(column, declared)
    lost = pc.and_(column.is_valid(), values.is_null())
    return Recast(values, lost.to_numpy(zero_copy_only=False))


def _cast(column: pa.ChunkedArray, declared: pa.DataType) -> pa.ChunkedArray | pa.Array:
    if pa.types.is_timestamp(declared):
        return as_instants(column).values
    try:
        return pc.if_else(_fits(column, declared), column, pa.scalar(None, column.type)).cast(declared, safe=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # text that is no number, or types that have no cast
        return pa.nulls(len(column), declared)


def _fits(column: pa.ChunkedArray, declared: pa.DataType) -> pa.ChunkedArray | pa.Scalar:
    """Where the value lies in the range of the declared type."""
    if pa.types.is_integer(declared) and pa.types.is_floating(column.type):
        bound = 2.0 ** (declared.bit_width - 1)  # as an integer, one less has no float64
        inside = pc.and_(pc.greater_equal(column, -bound), pc.less(column, bound))
        return pc.and_(inside, pc.equal(pc.floor(column), column))
    if pa.types.is_integer(declared) and pa.types.is_integer(column.type):
        most = 2 ** (declared.bit_width - 1)
        return pc.and_(pc.greater_equal(column, -most), pc.less_equal(column, most - 1))
    if pa.types.is_float32(declared) and pa.types.is_float64(column.type):
        return pc.is_finite(column.cast(declared, safe=False))
    return pa.scalar(value=True)


def _are_times(*kinds: pa.DataType) -> bool:
    return all(pa.types.is_timestamp(kind) for kind in kinds)


def _is_text(kind: pa.DataType) -> bool:
    return kind in (pa.string(), pa.large_string())
