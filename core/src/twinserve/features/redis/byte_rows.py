"""Columns of bytes, built for all rows at once: NumPy's own memory, and numbers of varying width by a mask."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_LONGEST_VARINT = 10
_BITS = 7
_SHIFTS = (np.arange(_LONGEST_VARINT) * _BITS).astype(np.uint64)


def fixed(values: NDArray[np.generic]) -> pa.Array:
    """Each number of a one-dimensional array as its little-endian bytes."""
    little = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    width = pa.binary(little.dtype.itemsize)
    return pa.Array.from_buffers(width, len(little), [None, pa.py_buffer(little)]).cast(pa.binary())


def varint(numbers: NDArray[np.int64]) -> pa.Array:
    """Each number in base 128, lowest group first, as protobuf writes an `int64`: a negative one takes ten bytes."""
    unsigned = numbers.view(np.uint64)
    longest = -(-int(unsigned.max(initial=1)).bit_length() // _BITS)
    groups = unsigned[:, None] >> _SHIFTS[: max(longest, 1)]
    present = groups != 0
    present[:, 0] = True
    more = np.zeros_like(present)
    more[:, :-1] = present[:, 1:]
    return _masked(((groups & np.uint64(0x7F)) | (more * np.uint64(0x80))).astype(np.uint8), present)


def joined(*parts: pa.Array | bytes) -> pa.Array:
    """Row by row, the parts one behind the other; bytes are the same in every row. Null where a part is null."""
    columns = [pa.scalar(part, pa.binary()) if isinstance(part, bytes) else part for part in parts]
    return pc.binary_join_element_wise(*columns, pa.scalar(b"", pa.binary()))


def sizes(column: pa.Array) -> NDArray[np.int64]:
    """The length of each row in bytes; 0 for a null."""
    lengths: NDArray[np.int64] = pc.fill_null(pc.binary_length(column), 0).to_numpy().astype(np.int64)
    return lengths


def _masked(matrix: NDArray[np.uint8], present: NDArray[np.bool_]) -> pa.Array:
    """Each row's bytes where `present` is set."""
    offsets = np.zeros(len(matrix) + 1, dtype=np.int32)
    np.cumsum(present.sum(axis=1), out=offsets[1:])
    return pa.Array.from_buffers(pa.binary(), len(matrix), [None, pa.py_buffer(offsets), pa.py_buffer(matrix[present])])
