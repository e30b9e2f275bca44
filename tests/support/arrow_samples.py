"""One column of every type that Arrow has, from pyarrow's own list: a test notices a new type."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID

import numpy as np
import pyarrow as pa

# of these, pyarrow has the number but no constructor
NOT_MADE = {"Type_INTERVAL_MONTHS", "Type_INTERVAL_DAY_TIME"}
_NOON = datetime(2026, 3, 9, 12, tzinfo=UTC)


def samples() -> dict[str, pa.Array]:
    """Name → three values, the second null; all of them null for Arrow's null type."""
    return _numbers() | _texts() | _times() | _nested() | _encoded() | _extensions()


def type_ids() -> dict[str, int]:
    """Arrow's type ids by name, as pyarrow lists them."""
    return {name: getattr(pa.lib, name) for name in dir(pa.lib) if name.startswith("Type_")}


def extension_types() -> set[type]:
    """The extension types that pyarrow comes with."""
    bases = {"BaseExtensionType", "ExtensionType", "UnknownExtensionType", "PyExtensionType"}
    found = {
        kind for kind in vars(pa.lib).values() if isinstance(kind, type) and issubclass(kind, pa.BaseExtensionType)
    }
    return {kind for kind in found if kind.__name__ not in bases}


def _numbers() -> dict[str, pa.Array]:
    kinds = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
    kinds += [pa.float16(), pa.float32(), pa.float64()]
    decimals = [pa.decimal32(5, 1), pa.decimal64(12, 2), pa.decimal128(30, 3), pa.decimal256(60, 4)]
    return {
        "null": pa.nulls(3),
        "bool": pa.array([True, None, False]),
        **{str(kind): pa.array([1, None, 0], pa.int8()).cast(kind) for kind in kinds},
        **{str(kind): pa.array([Decimal(1), None, Decimal(0)], kind) for kind in decimals},
    }


def _texts() -> dict[str, pa.Array]:
    kinds = [pa.string(), pa.large_string(), pa.string_view()]
    raw = [pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(1)]
    return {
        **{str(kind): pa.array(["1", None, "0"], kind) for kind in kinds},
        **{str(kind): pa.array([b"1", None, b"0"], kind) for kind in raw},
    }


def _times() -> dict[str, pa.Array]:
    stamps = [pa.timestamp(unit, zone) for unit in ("s", "ms", "us", "ns") for zone in (None, "UTC", "Asia/Kolkata")]
    naive = [_NOON.replace(tzinfo=None), None, datetime(1969, 12, 31)]
    return {
        **{str(kind): pa.array(naive, pa.timestamp("us")).cast(pa.timestamp(kind.unit)).cast(kind) for kind in stamps},
        "date32": pa.array([_NOON.date(), None, date(1969, 12, 31)], pa.date32()),
        "date64": pa.array([_NOON.date(), None, date(1969, 12, 31)], pa.date64()),
        "time32": pa.array([time(12), None, time(0)], pa.time32("s")),
        "time64": pa.array([time(12), None, time(0)], pa.time64("ns")),
        "duration": pa.array([timedelta(1), None, timedelta(0)], pa.duration("us")),
        "interval": pa.array([pa.MonthDayNano([1, 2, 3]), None, pa.MonthDayNano([0, 0, 0])]),
        "beyond 9999": pa.array([9_000_000_000_000, None, 0], pa.timestamp("s")),
    }


def _nested() -> dict[str, pa.Array]:
    lists = [pa.list_, pa.large_list, pa.list_view, pa.large_list_view]
    ids = pa.array([0, 1, 0], pa.int8())
    parts = [pa.array([1, 2, 3]), pa.array(["a", None, "c"])]
    return {
        **{make.__name__: pa.array([[1], None, [0, 2]], make(pa.int64())) for make in lists},
        "fixed_size_list": pa.array([[1], None, [0]], pa.list_(pa.int64(), 1)),
        "struct": pa.array([{"a": 1}, None, {"a": 0}]),
        "map": pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int64())),
        "sparse_union": pa.UnionArray.from_sparse(ids, parts),
        "dense_union": pa.UnionArray.from_dense(ids, pa.array([0, 1, 2], pa.int32()), parts),
    }


def _encoded() -> dict[str, pa.Array]:
    held = {str(values.type): values for values in (*_texts().values(), *_numbers().values()) if values.null_count < 3}
    ends = pa.array([1, 2, 3], pa.int32())
    indices = pa.array([0, None, 1], pa.int8())
    words = {name: pa.array([values[0].as_py(), values[2].as_py()], values.type) for name, values in held.items()}
    return {
        **{f"dictionary of {name}": pa.DictionaryArray.from_arrays(indices, values) for name, values in words.items()},
        **{f"runs of {name}": pa.RunEndEncodedArray.from_arrays(ends, values) for name, values in held.items()},
    }


def _extensions() -> dict[str, pa.Array]:
    tensors = np.zeros((3, 2, 2))
    return {
        "uuid": pa.array([UUID(int=1).bytes, None, UUID(int=2).bytes], pa.uuid()),
        "json": pa.ExtensionArray.from_storage(pa.json_(), pa.array(["1", None, "0"])),
        "bool8": pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, None, 0], pa.int8())),
        "tensor": pa.FixedShapeTensorArray.from_numpy_ndarray(tensors),
        "opaque": pa.ExtensionArray.from_storage(pa.opaque(pa.int64(), "a", "b"), pa.array([1, None, 0])),
    }
