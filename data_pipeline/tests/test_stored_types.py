"""Which stored types say the same as a declared one, and which stored values fit it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from data_pipeline.publishing.stored_types import as_declared, is_faithful, told_apart

I32, I64, F32, F64, TEXT, BOOL = pa.int32(), pa.int64(), pa.float32(), pa.float64(), pa.string(), pa.bool_()
TIME = pa.timestamp("us", tz="UTC")
KINDS = [I32, I64, F32, F64, TEXT, pa.large_string(), BOOL, TIME, pa.timestamp("s")]
FAITHFUL = {(I32, I64), (I32, F64), (I64, I32), (I64, F64), (F64, F32), (TEXT, pa.large_string())}
FAITHFUL |= {(pa.large_string(), TEXT), (TIME, pa.timestamp("s")), (pa.timestamp("s"), TIME)}


@pytest.mark.parametrize("declared", KINDS, ids=str)
@pytest.mark.parametrize("stored", KINDS, ids=str)
def test_which_types_say_what_a_new_read_would(stored: pa.DataType, declared: pa.DataType) -> None:
    assert is_faithful(stored, declared) == (stored == declared or (stored, declared) in FAITHFUL)


def test_columns_that_are_not_there_or_say_less_are_told_apart() -> None:
    stored = pa.schema({"a": F32, "b": I64, "c": TEXT, "gone": I64})
    declared = pa.schema({"a": F64, "b": F64, "c": TEXT, "d": I64})
    assert told_apart(stored, declared) == (frozenset({"d"}), {"a": F32})


NAN, INF = float("nan"), float("inf")
AT = datetime(2026, 3, 10, 12, 0, 0, 500_000, tzinfo=UTC)
# stored type, declared type, values, what each is; `...` for one that does not fit
CASES: list[tuple[pa.DataType, pa.DataType, list[Any], list[Any]]] = [
    (I64, I64, [1, None, 2**63 - 1], [1, None, 2**63 - 1]),
    (I64, I32, [2**31 - 1, -(2**31), 2**31, -(2**31) - 1, None], [2**31 - 1, -(2**31), ..., ..., None]),
    (I32, I64, [2**31 - 1, None], [2**31 - 1, None]),
    (I64, F64, [2**53, -3, None], [2.0**53, -3.0, None]),
    (I64, F64, [2**53 + 1], [2.0**53]),
    (F64, TEXT, [0.5, None], ["0.5", None]),
    (F64, I32, [1.0, 1.5, -(2.0**31), 2.0**31, -(2.0**31) - 1, INF, None], [1, ..., -(2**31), ..., ..., ..., None]),
    (F64, I32, [NAN, 2.0**31 - 1], [..., 2**31 - 1]),
    (F32, I64, [5.0, 0.5], [5, ...]),
    (F64, I64, [5.0, 0.5, -(2.0**63), 2.0**63, NAN], [5, ..., -(2**63), ..., ...]),
    (F64, F32, [0.5, 1e39, -1e39, 3.4e38, None], [0.5, ..., ..., pytest.approx(3.4e38), None]),
    (F32, F64, [0.5, INF], [0.5, INF]),
    (TEXT, I64, ["12", None], [12, None]),
    (TEXT, I64, ["12", "x", None], [..., ..., None]),
    (TEXT, pa.large_string(), ["x", None], ["x", None]),
    (BOOL, I64, [True, None], [1, None]),
    (pa.list_(I64), F64, [[1], None], [..., None]),
    (pa.timestamp("ms", tz="UTC"), TIME, [AT, None], [AT, None]),
    (TIME, I64, [AT], [int(AT.timestamp() * 1_000_000)]),
]


@pytest.mark.parametrize(("stored", "declared", "values", "expected"), CASES, ids=lambda v: f"{v}"[:20])
def test_a_stored_value_is_cast_where_it_fits(
    stored: pa.DataType, declared: pa.DataType, values: list[Any], expected: list[Any]
) -> None:
    recast = as_declared(pa.chunked_array([values[:1], values[1:]], stored), declared)
    assert recast.values.type == declared
    assert recast.values.to_pylist() == [None if value is ... else value for value in expected]
    assert recast.unfit.tolist() == [value is ... for value in expected]
