"""Our reading of Feast's Redis layout against Feast's own writing of it."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import _mmh3
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Null, Value
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from twinserve.features.redis.layout import (
    NULL_TIME,
    decode_event_time,
    decode_value,
    event_time_field,
    feature_field,
    redis_key,
)

INT32, INT64 = st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1)
KEY_FIELDS = {"INT32": "int32_val", "INT64": "int64_val", "STRING": "string_val"}


def proto(field: str, value: object) -> Value:
    message = Value()
    setattr(message, field, value)
    return message


key_values = st.one_of(
    st.tuples(st.just("INT32"), INT32), st.tuples(st.just("INT64"), INT64), st.tuples(st.just("STRING"), st.text())
)


@given(st.dictionaries(st.text(min_size=1), key_values, min_size=1, max_size=4), st.text())
def test_keys_equal_feasts(keys: dict[str, tuple[str, int | str]], project: str) -> None:
    key = EntityKey(
        join_keys=list(keys), entity_values=[proto(KEY_FIELDS[kind], value) for kind, value in keys.values()]
    )
    assert redis_key(project, keys) == serialize_entity_key(key, 3) + project.encode()


@given(st.text(), st.text())
def test_fields_equal_feasts(view: str, feature: str) -> None:
    assert feature_field(view, feature) == _mmh3(f"{view}:{feature}")
    assert event_time_field(view) == f"_ts:{view}".encode()


@given(
    st.one_of(
        st.tuples(st.just("int32_val"), INT32),
        st.tuples(st.just("int64_val"), INT64),
        st.tuples(st.just("unix_timestamp_val"), INT64.filter(lambda seconds: seconds != NULL_TIME)),
        st.tuples(st.just("double_val"), st.floats(allow_nan=False)),
        st.tuples(st.just("float_val"), st.floats(allow_nan=False, width=32)),
        st.tuples(st.just("bool_val"), st.booleans()),
        st.tuples(st.just("string_val"), st.text()),
        st.tuples(st.just("bytes_val"), st.binary()),
    )
)
def test_scalars_come_back_as_they_were(case: tuple[str, object]) -> None:
    field, value = case
    decoded = decode_value(proto(field, value).SerializeToString())
    assert decoded == value
    assert type(decoded) is type(value)


def test_nan_and_both_kinds_of_null() -> None:
    decoded = decode_value(Value(double_val=math.nan).SerializeToString())
    assert isinstance(decoded, float)
    assert math.isnan(decoded)
    assert decode_value(Value().SerializeToString()) is None
    assert decode_value(Value(null_val=Null.NULL).SerializeToString()) is None
    assert decode_value(Value(unix_timestamp_val=NULL_TIME).SerializeToString()) is None


def test_lists_are_refused_not_misread() -> None:
    message = Value()
    message.double_list_val.val.extend([1.0, 2.0])
    with pytest.raises(ValueError, match="no scalar"):
        decode_value(message.SerializeToString())


@given(st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)))
def test_event_times_keep_their_microseconds(moment: datetime) -> None:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert decode_event_time(stamp.SerializeToString()) == (moment - epoch) // timedelta(microseconds=1)


def test_a_key_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="out of the range of INT64"):
        redis_key("p", {"id": ("INT64", 2**63)})
    with pytest.raises(ValueError, match="can't be a join key"):
        redis_key("p", {"id": ("DOUBLE", 1)})
