"""The Feast value types that one value makes up, and what each is elsewhere: the one table of them.

A type that is not here (lists, maps, structs, JSON) is passed through as it is stored, and feeds no model.
"""

from __future__ import annotations

from typing import NamedTuple

# wire types of protobuf
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5


class ValueType(NamedTuple):
    """One row of the table.

    Attributes:
        number: of `feast.types.ValueType`.
        field: number and wire type of its field in a `feast.types.Value`.
        arrow: its Arrow type by name; None for as it is stored, as Feast takes several forms.
        duckdb: its type in DuckDB; None for as it is stored.
        ingested: whether the data pipeline, labels and batch inputs hold columns of it.
        model: what it may be for a model: a `column` of its input, a join `key` of its candidates, or both.
        online_key: whether Feast serializes entity keys of it; the struct format of those with a fixed width.
    """

    number: int
    field: tuple[int, int]
    arrow: str | None = None
    duckdb: str | None = None
    ingested: bool = False
    model: tuple[str, ...] = ()
    online_key: bool | str = False


VALUE_TYPES = {
    "INT32": ValueType(3, (3, VARINT), "int32", "INTEGER", True, ("column", "key"), "<i"),
    "INT64": ValueType(4, (4, VARINT), "int64", "BIGINT", True, ("column", "key"), "<q"),
    "FLOAT": ValueType(6, (6, FIXED32), "float", "FLOAT", True, ("column",)),
    "DOUBLE": ValueType(5, (5, FIXED64), "double", "DOUBLE", True, ("column",)),
    "BOOL": ValueType(7, (7, VARINT), "bool", "BOOLEAN", True, ("column",)),
    "STRING": ValueType(2, (2, LENGTH), "string", "VARCHAR", True, ("key",), True),
    "UNIX_TIMESTAMP": ValueType(8, (8, VARINT), "timestamp[us, tz=UTC]", "TIMESTAMPTZ", True, (), "<q"),
    "BYTES": ValueType(1, (1, LENGTH), "binary", "BLOB", online_key=True),
    "PDF_BYTES": ValueType(30, (1, LENGTH)),
    "IMAGE_BYTES": ValueType(31, (1, LENGTH)),
    "UUID": ValueType(36, (36, LENGTH)),
    "TIME_UUID": ValueType(37, (37, LENGTH)),
    "DECIMAL": ValueType(44, (44, LENGTH)),
}
MODEL_COLUMNS = tuple(name for name, kind in VALUE_TYPES.items() if "column" in kind.model)
MODEL_KEYS = tuple(name for name, kind in VALUE_TYPES.items() if "key" in kind.model)
