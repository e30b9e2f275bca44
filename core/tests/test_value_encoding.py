"""Columns encoded in bulk, held against Feast's own conversion value by value."""

from __future__ import annotations

import decimal
import struct
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import python_values_to_proto_values
from feast.value_type import ValueType
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from twinserve.errors import BadInput
from twinserve.features.redis.byte_rows import varint
from twinserve.features.redis.layout import decode_value
from twinserve.features.redis.value_encoding import encoded_keys, encoded_times, encoded_values

INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
# what Feast itself carries through a float where nulls are about
EXACT = st.integers(-(2**53), 2**53)
MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
SCALARS: dict[str, tuple[st.SearchStrategy[Any], pa.DataType]] = {
    "INT32": (INT32, pa.int32()),
    "INT64": (EXACT, pa.int64()),
    "FLOAT": (st.floats(width=32), pa.float32()),
    "DOUBLE": (st.floats(), pa.float64()),
    "BOOL": (st.booleans(), pa.bool_()),
    "STRING": (TEXT, pa.string()),
    "BYTES": (st.binary(min_size=1, max_size=300), pa.binary()),
    "IMAGE_BYTES": (st.binary(min_size=1, max_size=9), pa.binary()),
    "UNIX_TIMESTAMP": (MOMENTS, pa.timestamp("us", tz="UTC")),
    "UUID": (st.uuids().map(str), pa.string()),
    "TIME_UUID": (st.uuids().map(str), pa.string()),
    "DECIMAL": (st.decimals(allow_nan=False, allow_infinity=False).map(str), pa.string()),
}
OTHERS: dict[str, tuple[list[Any], pa.DataType]] = {
    "INT64_LIST": ([[1, -2], [], None], pa.list_(pa.int64())),
    "INT32_LIST": ([[1, -2], [], None], pa.list_(pa.int32())),
    "FLOAT_LIST": ([[1.5, -2.0], [0.1], None], pa.list_(pa.float32())),
    "DOUBLE_LIST": ([[1.5], None], pa.list_(pa.float64())),
    "STRING_LIST": ([["a", "é"], [""], None], pa.list_(pa.string())),
    "BYTES_LIST": ([[b"a", b""], None], pa.list_(pa.binary())),
    "BOOL_LIST": ([[True, False], None], pa.list_(pa.bool_())),
    "UNIX_TIMESTAMP_LIST": ([[datetime(2026, 1, 2, tzinfo=UTC)], None], pa.list_(pa.timestamp("us"))),
    "STRUCT": ([{"a": 1, "b": "x"}, None], pa.struct([("a", pa.int64()), ("b", pa.string())])),
    "MAP": ([{"a": 1}, None], pa.struct([("a", pa.int64())])),
    "JSON": (['{"a": [1]}', None], pa.string()),
    "DECIMAL": ([decimal.Decimal("1.50"), None], pa.decimal128(9, 2)),
    "STRING_SET": ([["a"], None], pa.list_(pa.string())),
}


def by_feast(column: pa.Array, kind: str) -> list[bytes]:
    values = python_values_to_proto_values(column.to_numpy(zero_copy_only=False), ValueType[kind])
    return [value.SerializeToString(deterministic=True) for value in values]


@pytest.mark.parametrize("kind", SCALARS)
@given(data=st.data())
def test_scalars_are_feasts_bytes(kind: str, data: st.DataObject) -> None:
    values, arrow = SCALARS[kind]
    column = pa.array(data.draw(st.lists(st.none() | values, max_size=12)), arrow)
    assert encoded_values(column, kind).to_pylist() == by_feast(column, kind)


@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_no_scalar_goes_through_feast(kind: str) -> None:
    values, arrow = OTHERS[kind]
    column = pa.array(values, arrow)
    encoded = encoded_values(column, kind).to_pylist()
    assert encoded == by_feast(column, kind)
    assert encoded[-1] == b""
    assert Value.FromString(encoded[0]).WhichOneof("val") is not None


def test_long_numbers_keep_every_digit_beside_a_null() -> None:
    column = pa.array([2**63 - 1, None, -(2**63)], pa.int64())
    first, null, last = (decode_value(raw) for raw in encoded_values(column, "INT64").to_pylist())
    assert (first, null, last) == (2**63 - 1, None, -(2**63))
    odd = pa.array([2**53 + 1, None], pa.int64())
    assert decode_value(encoded_values(odd, "INT64")[0].as_py()) == 2**53 + 1
    assert decode_value(by_feast(odd, "INT64")[0]) == 2**53, "Feast itself takes them through a float"


def test_empty_bytes_are_a_value_whatever_is_beside_them() -> None:
    column = pa.array([b"", b"a", None])
    assert encoded_values(column, "BYTES").to_pylist() == by_feast(column, "BYTES") == [b"\n\x00", b"\n\x01a", b""]
    alone = column.slice(0, 1)
    assert encoded_values(alone, "BYTES").to_pylist() == [b"\n\x00"]
    assert by_feast(alone, "BYTES") == [b""], "Feast itself takes them for a null where a chunk has nothing else"


def test_a_null_timestamp_is_feasts_null_and_read_as_one() -> None:
    column = pa.array([None, None], pa.timestamp("us", tz="UTC"))
    assert encoded_values(column, "UNIX_TIMESTAMP").to_pylist() == by_feast(column, "UNIX_TIMESTAMP")
    assert decode_value(encoded_values(column, "UNIX_TIMESTAMP")[0].as_py()) is None


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_timestamps_of_any_unit_count_whole_seconds(unit: str) -> None:
    column = pa.array([-1, 0, 10**9 + 1, None], pa.timestamp(unit))
    assert encoded_values(column, "UNIX_TIMESTAMP").to_pylist() == by_feast(column, "UNIX_TIMESTAMP")


def test_a_slice_of_a_column_is_encoded_as_itself() -> None:
    for values, kind in ([1.5, None, 2.5, 3.5], "DOUBLE"), (["a", "b", None, "d"], "STRING"), ([1, 2, 3, 400], "INT64"):
        column = pa.array(values)
        assert encoded_values(column.slice(1, 2), kind).to_pylist() == by_feast(column, kind)[1:3]


def test_what_does_not_fit_its_type_is_bad_input() -> None:
    with pytest.raises(BadInput, match="can't be a INT64"):
        encoded_values(pa.array(["no number"]), "INT64")


@given(st.lists(MOMENTS, max_size=8))
def test_event_times_are_protobuf_timestamps(moments: list[datetime]) -> None:
    expected = []
    for moment in moments:
        stamp = Timestamp()
        stamp.FromDatetime(moment.replace(tzinfo=UTC))
        expected.append(stamp.SerializeToString())
    column = pa.array(moments, pa.timestamp("us", tz="UTC"))
    assert encoded_times(column).to_pylist() == expected


@given(st.lists(st.tuples(INT64, TEXT, INT32, st.binary(max_size=9)), min_size=1, max_size=5))
def test_keys_are_feasts_bytes(rows: list[tuple[int, str, int, bytes]]) -> None:
    columns = {
        "z_id": ("INT64", pa.array([row[0] for row in rows], pa.int64())),
        "name": ("STRING", pa.array([row[1] for row in rows], pa.string())),
        "part": ("INT32", pa.array([row[2] for row in rows], pa.int32())),
        "raw": ("BYTES", pa.array([row[3] for row in rows], pa.binary())),
    }
    expected = [
        serialize_entity_key(
            EntityKey(
                join_keys=list(columns),
                entity_values=[Value(int64_val=a), Value(string_val=b), Value(int32_val=c), Value(bytes_val=d)],
            )
        )
        + b"shop"
        for a, b, c, d in rows
    ]
    assert encoded_keys("shop", columns).to_pylist() == expected


def test_a_moment_can_be_a_key() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    column = pa.array([moment], pa.timestamp("us", tz="UTC"))
    key = EntityKey(join_keys=["at"], entity_values=[Value(unix_timestamp_val=int(moment.timestamp()))])
    assert encoded_keys("", {"at": ("UNIX_TIMESTAMP", column)}).to_pylist() == [serialize_entity_key(key)]


def test_a_fraction_can_not() -> None:
    with pytest.raises(BadInput, match="id is a DOUBLE, which Feast takes for no join key"):
        encoded_keys("shop", {"id": ("DOUBLE", pa.array([1.5]))})


@given(st.lists(INT64, max_size=20))
def test_varints_are_protobufs(numbers: list[int]) -> None:
    encoded = varint(np.array(numbers, dtype=np.int64)).to_pylist()
    # field 4 of a Value, an int64, behind its tag
    assert encoded == [Value(int64_val=number).SerializeToString()[1:] for number in numbers]
    assert all(struct.calcsize("b") <= len(raw) <= 10 for raw in encoded)


def test_whole_numbers_of_any_width_keep_their_digits_beside_a_null() -> None:
    """Feast's own conversion takes such a column through floats: 2^53 + 1 became 2^53."""
    for kind in (pa.uint64(), pa.int64()):
        encoded = encoded_values(pa.array([2**53 + 1, None], kind), "INT64").to_pylist()
        assert [decode_value(value) for value in encoded] == [2**53 + 1, None]
    for column, kind in ((pa.array([2**63], pa.uint64()), "INT64"), (pa.array([2**31]), "INT32")):
        with pytest.raises(BadInput, match=f"can't be a {kind}"):
            encoded_values(column, kind)
