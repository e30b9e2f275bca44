from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinserve.errors import BadInput
from twinserve.source_values.casting import arrow_type, cast_column

WRONG = "wrong"


def outcome(values: list[Any], kind: str, source_type: pa.DataType | None = None) -> list[Any]:
    """What each value becomes: a value, null, or `WRONG`."""
    read = cast_column(pa.array(values, source_type), kind)
    return [WRONG if bad else value for value, bad in zip(read.values.to_pylist(), read.wrong, strict=True)]


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("INT64", ["1", " 2 ", "3.0", "x", "1_0", "", None], [1, 2, 3, WRONG, WRONG, WRONG, None]),
        ("INT64", [1.0, 1.5, float("nan"), None], [1, WRONG, None, None]),
        ("INT64", ["9223372036854775807", "9223372036854775808"], [2**63 - 1, WRONG]),
        ("INT64", ["9007199254740993", "x"], [2**53 + 1, WRONG]),
        ("INT64", [Decimal(5), Decimal("5.5")], [5, WRONG]),
        ("INT32", [1, 2**31, -(2**31)], [1, WRONG, -(2**31)]),
        ("INT64", [datetime(2026, 1, 1, tzinfo=UTC)], [WRONG]),
        ("INT64", ["inf", "nan"], [WRONG, WRONG]),
        ("DOUBLE", ["0.1", "1e3", "x", None, "nan"], [0.1, 1000.0, WRONG, None, None]),
        ("DOUBLE", [float("inf"), float("-inf"), 1.0], [WRONG, WRONG, 1.0]),
        ("DOUBLE", [Decimal("0.25")], [0.25]),
        ("DOUBLE", [date(2026, 1, 1), None], [WRONG, None]),
        ("FLOAT", [0.1, None, 1e300], [float(np.float32(0.1)), None, WRONG]),
        ("FLOAT", [1, 2**24 + 1], [1.0, float(2**24)]),
        ("STRING", ["a", None, ""], ["a", None, ""]),
        ("STRING", [7, None], ["7", None]),
        ("STRING", [7.0, 7.5, float("nan")], ["7", "7.5", None]),
        ("BOOL", [True, None, False], [True, None, False]),
        ("BOOL", ["true", "F", "1", "yes", None], [True, False, True, WRONG, None]),
        ("BOOL", [1, 0, 2], [True, False, WRONG]),
    ],
)  # fmt: skip
def test_values_and_misfits(kind: str, values: list[Any], expected: list[Any]) -> None:
    assert outcome(values, kind) == expected


def test_a_column_of_categories_is_read_by_its_values() -> None:
    column = pa.array(["1", "x", "1"]).dictionary_encode()
    assert cast_column(column, "INT64").values.to_pylist() == [1, None, 1]


def test_a_column_of_nulls_fits_every_type() -> None:
    for kind in ("INT32", "INT64", "FLOAT", "DOUBLE", "STRING", "BOOL", "UNIX_TIMESTAMP"):
        read = cast_column(pa.nulls(2), kind)
        assert (read.values.type, read.values.null_count) == (arrow_type(kind, "x"), 2)
        assert not read.wrong.any()


def test_a_type_that_the_store_does_not_hold_is_named() -> None:
    with pytest.raises(BadInput, match="tags is declared as STRING_LIST"):
        arrow_type("STRING_LIST", "tags")


@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.text(max_size=5))))
def test_mixed_text_never_raises_and_never_loses_a_row(values: list[Any]) -> None:
    texts = [None if value is None else str(value) for value in values]
    read = cast_column(pa.array(texts, pa.string()), "INT64")
    assert len(read.values) == len(read.wrong) == len(values)
    for value, got, bad in zip(values, read.values.to_pylist(), read.wrong, strict=True):
        if isinstance(value, int):
            assert (got, bad) == (value, False)
        if value is None:
            assert (got, bad) == (None, False)


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_declared_floats_survive_the_way_through_text(values: list[float]) -> None:
    texts = pa.array([repr(value) for value in values], pa.string())
    assert cast_column(texts, "FLOAT").values.to_pylist() == values
