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

from twinserve.features.redis.layout import NULL_TIME

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
    """The numbers of many cells, (cells,), most of them of this Feast type: all of one length at the same time.

    Raises:
        ValueError: a cell that holds no number.
    """
    tag = _TAGS[dtype]
    content, sizes = _joined(cells)
    starts = np.cumsum(sizes) - sizes
    values, left = np.full(len(cells), np.nan), sizes > 0
    for size in np.flatnonzero(np.bincount(np.minimum(sizes, _LONGEST + 2))).tolist():
        rows = np.flatnonzero(sizes == size)
        if not (size == 1 + _FIXED[tag].itemsize if tag in _FIXED else 1 < size <= 1 + _LONGEST):
            continue
        alike = len(rows) == len(cells)
        block = content.reshape(-1, size) if alike else content[starts[rows, None] + np.arange(size)]
        good, found = _fixed(block, tag) if tag in _FIXED else _varints(block, tag)
        if alike and good.all():
            return found.astype(np.float64)
        values[rows[good]], left[rows[good]] = found[good], False
    for place in np.flatnonzero(left).tolist():
        values[place] = number(cells[place])
    return values


def _joined(cells: Sequence[Cell]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The bytes of all cells one behind the other, and the length of each; no cell is an empty one."""
    filled: Sequence[bytes] = cells  # type: ignore[assignment]
    try:
        sizes = np.fromiter(map(len, filled), np.int64, len(filled))
    except TypeError:
        filled = [cell or b"" for cell in cells]
        sizes = np.fromiter(map(len, filled), np.int64, len(filled))
    return np.frombuffer(b"".join(filled), np.uint8), sizes


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


def _fixed(block: NDArray[np.uint8], tag: int) -> tuple[NDArray[np.bool_], NDArray[np.generic]]:
    """Of cells of one length, (cells, bytes): which are of this tag, and their numbers."""
    rows = np.ascontiguousarray(block).view(np.dtype([("tag", "u1"), ("value", _FIXED[tag])]))[:, 0]
    return rows["tag"] == tag, rows["value"]


def _varints(block: NDArray[np.uint8], tag: int) -> tuple[NDArray[np.bool_], NDArray[np.generic]]:
    """Of cells of one length, (cells, bytes): which are one whole number of this tag, and the numbers."""
    last = block[:, -1]
    # of the tenth byte, one bit belongs to the 64
    good = (block[:, 0] == tag) & (last < (_MORE if block.shape[1] <= _LONGEST else 2))
    whole = np.zeros(len(block), np.uint64)
    for place in range(1, block.shape[1]):
        group = block[:, place]
        if place < block.shape[1] - 1:
            good &= group >= _MORE
        whole |= (group & 0x7F).astype(np.uint64) << np.uint64(_BITS * (place - 1))
    return good, whole != 0 if tag == _BOOL else whole.view(np.int64)
