"""The one table of types against those whose types they are: Feast, protobuf, Arrow, DuckDB; and its users."""

from __future__ import annotations

from typing import get_args

import pyarrow as pa
import pytest
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import python_values_to_proto_values
from feast.types import from_feast_to_pyarrow_type, from_value_type
from feast.value_type import ValueType as FeastType

from twinserve.contract import FeatureColumn, JoinKey
from twinserve.features.stored_files.duck import duck
from twinserve.features.stored_files.feast_arrow import key_type
from twinserve.source_values.casting import EXPECTED, cast_column
from twinserve.values.arrow_types import ARROW_TYPES, STORED_TYPES
from twinserve.values.value_types import MODEL_COLUMNS, MODEL_KEYS, VALUE_TYPES

EXAMPLES = {
    "INT32": 1, "INT64": 1, "FLOAT": 1.5, "DOUBLE": 1.5, "BOOL": True, "STRING": "a", "UNIX_TIMESTAMP": 1,
    "BYTES": b"a", "PDF_BYTES": b"a", "IMAGE_BYTES": b"a", "UUID": "3e6a0b4e-0000-4000-8000-000000000000",
    "TIME_UUID": "2d9a6c5e-0000-1000-8000-000000000000", "DECIMAL": "1.5",
}  # fmt: skip
WIRE = {"int32": 0, "int64": 0, "bool": 0, "double": 1, "float": 5, "string": 2, "bytes": 2}


@pytest.mark.parametrize("name", VALUE_TYPES)
def test_numbers_and_fields_are_feasts(name: str) -> None:
    kind = VALUE_TYPES[name]
    assert kind.number == FeastType[name].value
    (value,) = python_values_to_proto_values([EXAMPLES[name]], FeastType[name])
    serialized = value.SerializeToString()
    tag = serialized[0] & 0x7F | (serialized[1] << 7 if serialized[0] & 0x80 else 0)
    assert kind.field == (tag >> 3, tag & 7)


@pytest.mark.parametrize("name", STORED_TYPES)
def test_arrow_and_duckdb_hold_the_same_values(name: str) -> None:
    if name != "BYTES":  # for which Feast has none
        feasts = from_feast_to_pyarrow_type(from_value_type(FeastType[name]))
        assert pa.types.is_timestamp(feasts) if name == "UNIX_TIMESTAMP" else STORED_TYPES[name] == feasts
    with duck() as connection:
        relation = connection.sql(f"SELECT CAST(NULL AS {VALUE_TYPES[name].duckdb})")
        assert relation is not None
        cast = relation.to_arrow_table().schema.types[0]
    assert pa.types.is_timestamp(cast) if name == "UNIX_TIMESTAMP" else cast == STORED_TYPES[name]


@pytest.mark.parametrize("name", FeastType.__members__)
def test_an_entity_key_may_be_of_a_type_exactly_where_feast_serializes_it(name: str) -> None:
    value = Value()
    if name in EXAMPLES:
        (value,) = python_values_to_proto_values([EXAMPLES[name]], FeastType[name])
    key = EntityKey(join_keys=["k"], entity_values=[value])
    try:
        serialize_entity_key(key, entity_key_serialization_version=3)
    except ValueError:
        takes = False
    else:
        takes = name not in ("PDF_BYTES", "IMAGE_BYTES")  # these are bytes to it
    assert takes == bool(name in VALUE_TYPES and VALUE_TYPES[name].online_key)


def test_what_a_model_takes_can_be_ingested_joined_and_read_online() -> None:
    assert set(MODEL_COLUMNS) | set(MODEL_KEYS) <= set(ARROW_TYPES)
    assert all(VALUE_TYPES[name].online_key for name in MODEL_KEYS)
    assert get_args(FeatureColumn.model_fields["dtype"].annotation) == MODEL_COLUMNS
    assert get_args(JoinKey.model_fields["dtype"].annotation) == MODEL_KEYS
    for name, kind in ARROW_TYPES.items():
        assert EXPECTED[name]
        assert cast_column(pa.nulls(1, kind), name).values.type == kind
        assert key_type(name) == (pa.int64() if name == "INT32" else kind)
