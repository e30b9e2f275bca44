"""The bytes that Feast keeps in an online store as float64, exactly, without a protobuf object a value.

A cell is a serialized `feast.types.Value`: nothing at all or `null_val` for a null, else the tag of its kind and the
number. An integer beyond 2^53 becomes the nearest float64, a boolean 0 or 1, a time its seconds since 1970. Whatever is
no such number is refused. Sources: `Value.proto` and the protobuf encoding.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinserve.features.redis_layout import NULL_TIME

Cell = bytes | None
NAN = float("nan")

_INT32, _INT64, _DOUBLE, _FLOAT, _BOOL, _UNIX_TIME = 0x18, 0x20, 0x29, 0x35, 0x38, 0x40  # field << 3 | wire type
_NULL = b"\x98\x01"
_VARINTS = frozenset((_INT32, _INT64, _BOOL, _UNIX_TIME))
_TAGS = {"INT32": _INT32, "INT64": _INT64, "DOUBLE": _DOUBLE, "FLOAT": _FLOAT, "BOOL": _BOOL}
_FIXED: dict[int, np.dtype[Any]] = {_DOUBLE: np.dtype("<f8"), _FLOAT: np.dtype("<f4")}
_MORE, _BITS, _LONGEST = 0x80, 7, 10
_float = struct.Struct("<xf").unpack
_double = struct.Struct("<xd").unpack


def number(cell: Cell) -> float:
    """The number in one cell; NaN for a null, or for no cell at all.

    Raises:
        ValueError: it holds anything else.
    """
    if not cell:
        return NAN
    tag = cell[0]
    try:
        if tag == _FLOAT:
            return _float(cell)[0]  # type: ignore[no-any-return]
        if tag == _DOUBLE:
            return _double(cell)[0]  # type: ignore[no-any-return]
    except struct.error:
        raise ValueError("the value is cut off, or too long") from None
    if tag in _VARINTS:
        return _whole(tag, _varint(cell, 1))
    if cell[:2] == _NULL:
        _varint(cell, 2)
        return NAN
    raise ValueError(f"a value of protobuf field {tag >> 3} is no number")


def numbers(cells: Sequence[Cell], dtype: str) -> NDArray[np.float64]:
    """The numbers of many cells, (cells,), most of them of this Feast type.

    Raises:
        ValueError: a cell that holds no number.
    """
    tag = _TAGS[dtype]
    filled = [cell or b"" for cell in cells]
    sizes = np.fromiter(map(len, filled), np.int64, len(filled))
    content = b"".join(filled)
    found = _fixed(content, sizes, tag) if tag in _FIXED else _varints(content, sizes, tag)
    if found is None:
        return np.array([number(cell) for cell in cells], dtype=np.float64)
    values, regular = found
    for place in np.flatnonzero(~regular).tolist():
        values[place] = number(cells[place])
    return values


def _whole(tag: int, read: int) -> float:
    if tag == _BOOL:
        return float(read != 0)
    value = read - (1 << 64) if read >= 1 << 63 else read
    return NAN if tag == _UNIX_TIME and value == NULL_TIME else float(value)


def _varint(cell: bytes, start: int) -> int:
    """The base-128 number that fills the cell from `start` on."""
    read = shift = 0
    for place in range(start, len(cell)):
        byte = cell[place]
        read |= (byte & 0x7F) << shift
        if byte < _MORE:
            if place + 1 < len(cell) or read >> 64:
                break
            return read
        shift += _BITS
    raise ValueError("the value is cut off, or too long")


def _fixed(content: bytes, sizes: NDArray[np.int64], tag: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]] | None:
    """The numbers, and which of the cells are regular: of this tag and its size. None where few may be."""
    width = 1 + _FIXED[tag].itemsize
    full = sizes == width
    if not full.all():
        if int(full.sum()) * 2 < len(sizes):
            return None
        data = np.frombuffer(content, np.uint8)
        starts = (np.cumsum(sizes) - sizes)[full]
        content = data[starts[:, None] + np.arange(width)].tobytes()
    rows = np.frombuffer(content, np.dtype([("tag", "u1"), ("value", _FIXED[tag])]))
    values = np.full(len(sizes), np.nan)
    values[full] = rows["value"]
    regular = full | (sizes == 0)
    regular[full] = rows["tag"] == tag
    return values, regular


def _varints(
    content: bytes, sizes: NDArray[np.int64], tag: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]] | None:
    longest = int(sizes.max(initial=0)) - 1
    if not 1 <= longest <= _LONGEST:
        return None  # nothing but nulls, or something else altogether
    data = np.frombuffer(content, np.uint8)
    starts = np.cumsum(sizes) - sizes
    at = np.arange(longest)
    cells = data[np.minimum(starts[:, None] + 1 + at, len(data) - 1)]
    ends = (sizes - 2)[:, None]  # the place of each number's last byte
    regular = (data[np.minimum(starts, len(data) - 1)] == tag) & (sizes > 1)
    regular &= (((cells >= _MORE) == (at < ends)) | (at > ends)).all(axis=1)
    if longest == _LONGEST:
        regular &= (sizes <= _LONGEST) | (cells[:, -1] <= 1)  # of the tenth byte, one bit belongs to the 64
    groups = np.where(at <= ends, cells & 0x7F, 0).astype(np.uint64) << (at * _BITS).astype(np.uint64)
    whole = np.bitwise_or.reduce(groups, axis=1).view(np.int64)
    values = (whole != 0).astype(np.float64) if tag == _BOOL else whole.astype(np.float64)
    values[~regular] = np.nan
    return values, regular | (sizes == 0)
