"""Feast's layout in Redis, without Feast: which key, which field, which bytes.

One hash per entity key. Its name is the serialized entity key (version 3) followed by the project; a feature is
the field `mmh3("<view>:<feature>")` as four little-endian bytes holding a serialized `feast.types.Value`;
`_ts:<view>` holds the event time as a `google.protobuf.Timestamp`. Source: "Redis online store format" and
"entity key serialization" in Feast's specifications, and `feast.infra.key_encoding_utils`; the tests compare
every function with Feast's own.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

import mmh3

from twinserve.values.value_types import FIXED32, FIXED64, LENGTH, VALUE_TYPES, VARINT

Key = int | str | bytes
Scalar = int | float | bool | str | bytes | None

# feast.types.ValueType numbers, and the struct format of those with a fixed width
KEY_TYPES = {name: kind.number for name, kind in VALUE_TYPES.items() if kind.online_key}
_KEY_FORMATS = {name: kind.online_key for name, kind in VALUE_TYPES.items() if isinstance(kind.online_key, str)}
_STRING = 2
DUMMY_KEY = "__dummy_id"  # the join key that Feast gives to views without entities
NULL_TIME = -(1 << 63)  # what Feast keeps for a timestamp that is null

# feast.types.Value field numbers of the scalar kinds
_BYTES, _TEXT, _INT32, _INT64, _DOUBLE, _FLOAT, _BOOL, _UNIX_TIME, _NULL = 1, 2, 3, 4, 5, 6, 7, 8, 19
_SECONDS, _NANOS = 0x08, 0x10  # tags of google.protobuf.Timestamp
# behind the event time of a key that was deleted then: a field that a Timestamp has not, which protobuf's readers skip
DELETED_MARK = b"\x18\x01"


def redis_key(project: str, keys: Mapping[str, tuple[str, Key]]) -> bytes:
    """The name of the hash that holds the features of one entity key.

    Args:
        keys: join key → (Feast type name, value).

    Raises:
        ValueError: a type that can't be a key, or an integer out of the type's range.
    """
    names = sorted(keys)
    return b"".join([key_names(names), *(_key_value(*keys[name]) for name in names), project.encode()])


def key_names(names: list[str]) -> bytes:
    """What every hash of these join keys, sorted, begins with."""
    texts = [name.encode() for name in names]
    return struct.pack("<I", len(names)) + b"".join(struct.pack("<II", _STRING, len(text)) + text for text in texts)


def _key_value(kind: str, value: Key) -> bytes:
    if kind not in KEY_TYPES:
        raise ValueError(f"a {kind} can't be a join key")
    content = value if isinstance(value, bytes) else value.encode() if isinstance(value, str) else _packed(kind, value)
    return struct.pack("<II", KEY_TYPES[kind], len(content)) + content


def _packed(kind: str, value: int) -> bytes:
    try:
        return struct.pack(_KEY_FORMATS[kind], value)
    except struct.error:
        raise ValueError(f"{value} is out of the range of {kind}") from None


def dummy_key(project: str) -> bytes:
    """The name of the one hash of views without entities: Feast gives them a key of its own, an empty string."""
    return redis_key(project, {DUMMY_KEY: ("STRING", "")})


def value_tag(kind: str) -> bytes:
    """What a value of this Feast type begins with; nothing if it is no scalar."""
    field, wire = VALUE_TYPES[kind].field if kind in VALUE_TYPES else (0, 0)
    tag = field << 3 | wire
    return bytes([tag]) if tag < 0x80 else bytes([tag & 0x7F | 0x80, tag >> 7])  # noqa: PLR2004 - base 128


def feature_field(view: str, feature: str) -> bytes:
    """The hash field of one feature."""
    return struct.pack("<I", mmh3.hash(f"{view}:{feature}", signed=False))


def shared_fields(names: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Pairs of different features that have one hash field, as `view:feature`.

    Args:
        names: view and feature, of views with the same join keys.
    """
    seen: dict[bytes, str] = {}
    found = []
    for view, feature in names:
        name = f"{view}:{feature}"
        other = seen.setdefault(feature_field(view, feature), name)
        if other != name:
            found.append((other, name))
    return found


def event_time_field(view: str) -> bytes:
    """The hash field of a view's event time."""
    return f"_ts:{view}".encode()


def decode_event_time(content: bytes) -> int:
    """Microseconds since 1970 UTC of a serialized `google.protobuf.Timestamp`, nanoseconds cut off.

    Raises:
        ValueError: it is cut off, or something else than protobuf writes.
    """
    parts, position, last = [0, 0], 0, 0
    try:
        while position < len(content):
            tag, start = content[position], position + 1
            number, position = varint(content, start)
            if tag not in (_SECONDS, _NANOS) or tag <= last or number >> 64:
                raise ValueError("other bytes than protobuf's Timestamp has")
            parts[tag == _NANOS], last = _signed(number), tag
    except IndexError:
        raise ValueError("the bytes are cut off") from None
    if not 0 <= parts[1] < 10**9:
        raise ValueError("other bytes than protobuf's Timestamp has")
    return parts[0] * 1_000_000 + parts[1] // 1_000


def without_mark(time: bytes) -> bytes:
    """A serialized event time as Feast writes it; the mark of a deleted key taken off."""
    return time.removesuffix(DELETED_MARK)


def decode_value(content: bytes) -> Scalar:
    """The Python value of a serialized scalar `feast.types.Value`; None for a null.

    Raises:
        ValueError: it holds a list, map or another kind that no model column can take.
    """
    if not content:
        return None
    tag, start = varint(content, 0)
    field, wire = tag >> 3, tag & 7
    if field == _NULL:
        return None
    if wire == VARINT:
        return _integer(field, varint(content, start)[0])
    if wire == FIXED32 and field == _FLOAT:
        return float(struct.unpack_from("<f", content, start)[0])
    if wire == FIXED64 and field == _DOUBLE:
        return float(struct.unpack_from("<d", content, start)[0])
    if wire == LENGTH and field in (_BYTES, _TEXT):
        size, start = varint(content, start)
        raw = content[start : start + size]
        return raw if field == _BYTES else raw.decode()
    raise ValueError(f"a feature value of protobuf field {field} is no scalar")


def _integer(field: int, number: int) -> Scalar:
    if field == _BOOL:
        return bool(number)
    if field in (_INT32, _INT64, _UNIX_TIME):
        value = _signed(number)
        return None if field == _UNIX_TIME and value == NULL_TIME else value
    raise ValueError(f"a feature value of protobuf field {field} is no scalar")


def varint(content: bytes, position: int) -> tuple[int, int]:
    """A base-128 number at `position`, and the position behind it."""
    number = shift = 0
    while True:
        byte = content[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - no further byte follows
            return number, position
        shift += 7


def _signed(number: int) -> int:
    return number - (1 << 64) if number >= 1 << 63 else number
