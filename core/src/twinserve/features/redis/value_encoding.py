"""Whole columns as the bytes that Feast keeps in an online store, without a protobuf object a value.

A value is a serialized `feast.types.Value`: the tag of its kind and the content, or nothing at all for a null. Scalars
are encoded here; lists, maps, structs and what is stored in another type than it is declared go through Feast's own
conversion. Feast keeps NaN as a null, and a null timestamp as the least 64-bit number: so do we, byte by byte.
Sources: `feast.type_map`, `Value.proto` and the protobuf encoding; the tests compare each type with Feast's answer.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from twinserve.errors import BadInput
from twinserve.features.redis.byte_rows import fixed, joined, sizes, varint
from twinserve.features.redis.layout import KEY_TYPES, NULL_TIME, key_names, value_tag

_MICROS = 1_000_000
_TEXTS = {"STRING", "BYTES", "PDF_BYTES", "IMAGE_BYTES", "UUID", "TIME_UUID", "DECIMAL"}
_NUMBERS = {"INT32": pa.int32(), "INT64": pa.int64()}
_FLOATS = {"FLOAT": pa.float32(), "DOUBLE": pa.float64()}


def encoded_values(column: pa.Array, kind: str) -> pa.Array:
    """Serialized values of one feature, as binary; empty for a null.

    Args:
        kind: name of the Feast value type.

    Raises:
        BadInput: a value that Feast can't hold as that type.
    """
    found = _scalars(column, kind)
    return _by_feast(column, kind) if found is None else pc.fill_null(found, b"")


def encoded_times(column: pa.Array) -> pa.Array:
    """Serialized `google.protobuf.Timestamp` of each event time, to the microsecond."""
    micros = _whole(column.cast(pa.timestamp("us", tz="UTC"), safe=False))
    seconds, nanos = np.divmod(micros, _MICROS)
    return joined(_unless_zero(b"\x08", seconds), _unless_zero(b"\x10", nanos * 1_000))


def encoded_keys(project: str, columns: Mapping[str, tuple[str, pa.Array]]) -> pa.Array:
    """The names of the hashes that hold the features of these entity keys.

    Args:
        columns: join key → (Feast type name, its values, none of them null).

    Raises:
        BadInput: a type that can't be a key.
    """
    names = sorted(columns)
    return joined(key_names(names), *(_key(name, *columns[name]) for name in names), project.encode())


def _key(name: str, kind: str, column: pa.Array) -> pa.Array:
    if kind not in KEY_TYPES:
        raise BadInput(f"{name} is a {kind}, which Feast takes for no join key", fix="Use a number or a string")
    number = KEY_TYPES[kind]
    if kind in ("STRING", "BYTES"):
        content = column.cast(pa.binary())
        return joined(struct.pack("<I", number), fixed(sizes(content).astype(np.uint32)), content)
    packed = fixed(_seconds(column) if kind == "UNIX_TIMESTAMP" else column.cast(_NUMBERS[kind]).to_numpy())
    width = 4 if kind == "INT32" else 8
    return joined(struct.pack("<II", number, width), packed)


def _scalars(column: pa.Array, kind: str) -> pa.Array | None:
    """None where the kind, or how it is stored, is not simple."""
    stored, tag = column.type, value_tag(kind)
    if kind in _NUMBERS and pa.types.is_integer(stored):  # Feast makes floats of unsigned ones beside a null
        return _where(column, joined(tag, varint(_whole(_fitting(column, kind)))))
    if kind in _FLOATS and stored == _FLOATS[kind]:
        return _where(column, joined(tag, fixed(_filled(column))), ~np.isnan(_filled(column)))
    if kind == "BOOL" and pa.types.is_boolean(stored):
        return _where(column, joined(tag, fixed(_filled(column.cast(pa.uint8())))))
    if kind == "UNIX_TIMESTAMP" and pa.types.is_timestamp(stored):
        return joined(tag, varint(_seconds(column)))
    if kind in _TEXTS and _is_text(stored) == (kind not in ("BYTES", "PDF_BYTES", "IMAGE_BYTES")):
        content = column.cast(pa.binary()) if _is_text(stored) or pa.types.is_binary(stored) else None
        return None if content is None else joined(tag, varint(sizes(content)), content)
    return None


def _fitting(column: pa.Array, kind: str) -> pa.Array:
    try:
        return column.cast(_NUMBERS[kind])
    except pa.ArrowInvalid as error:
        says = f"a {column.type} can't be a {kind}: {error}"
        raise BadInput(says, fix="Correct the definition or the data") from None


def _by_feast(column: pa.Array, kind: str) -> pa.Array:
    from feast.type_map import python_values_to_proto_values
    from feast.value_type import ValueType

    try:
        values = python_values_to_proto_values(column.to_numpy(zero_copy_only=False), ValueType[kind])
    except Exception as error:  # Feast raises whatever comes to its hand, assertions among them
        raise BadInput(
            f"a {column.type} can't be a {kind}: {error}", fix="Correct the definition or the data"
        ) from error
    return pa.array([value.SerializeToString(deterministic=True) for value in values], pa.binary())


def _is_text(stored: pa.DataType) -> bool:
    return bool(pa.types.is_string(stored) or pa.types.is_large_string(stored))


def _where(column: pa.Array, values: pa.Array, also: NDArray[np.bool_] | None = None) -> pa.Array:
    """The values where the column has one."""
    valid = column.is_valid() if also is None else pc.and_(column.is_valid(), pa.array(also))
    return values if pc.all(valid).as_py() else pc.if_else(valid, values, pa.scalar(None, pa.binary()))


def _filled(column: pa.Array) -> NDArray[np.generic]:
    values: NDArray[np.generic] = pc.fill_null(column, 0).to_numpy(zero_copy_only=False)
    return values


def _whole(column: pa.Array) -> NDArray[np.int64]:
    return _filled(column.cast(pa.int64())).astype(np.int64, copy=False)


def _seconds(column: pa.Array) -> NDArray[np.int64]:
    """Whole seconds since 1970 UTC, rounded down; `NULL_TIME` for a null."""
    per_second = {"s": 1, "ms": 1_000, "us": _MICROS, "ns": 1_000_000_000}[column.type.unit]
    seconds: NDArray[np.int64] = np.where(column.is_valid().to_numpy(False), _whole(column) // per_second, NULL_TIME)
    return seconds


def _unless_zero(tag: bytes, numbers: NDArray[np.int64]) -> pa.Array:
    """A protobuf field without presence: nothing at all where it is zero."""
    return pc.if_else(pa.array(numbers != 0), joined(tag, varint(numbers)), pa.scalar(b"", pa.binary()))
