"""Columns as database clients give them: SQLite's may hold anything, row by row."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinserve.source_values.casting import cast_column
from twinserve.source_values.from_python import column_of

WRONG = "wrong"


def read(values: list[Any], kind: str) -> list[Any]:
    found = cast_column(column_of(values), kind)
    return [WRONG if bad else value for value, bad in zip(found.values.to_pylist(), found.wrong, strict=True)]


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([2**53 + 1, 0.5, None], "INT64", [2**53 + 1, WRONG, None]),
        ([2**53 + 1, 2.0**53], "INT64", [2**53 + 1, WRONG]),
        ([2**70, 1], "INT64", [WRONG, 1]),
        ([2**63, -1], "DOUBLE", [2.0**63, -1.0]),
        ([1, Decimal("1.5"), "7", b"8"], "DOUBLE", [1.0, 1.5, 7.0, 8.0]),
        ([Decimal(1), Decimal("1.5")], "STRING", ["1", "1.5"]),
        ([Decimal("NaN"), Decimal("Infinity"), Decimal("0.3")], "DOUBLE", [None, WRONG, 0.3]),
        ([b"\xff", "a"], "STRING", [WRONG, "a"]),
        ([bytearray(b"a"), memoryview(b"b")], "STRING", ["a", "b"]),
        ([UUID(int=7), None], "STRING", [str(UUID(int=7)), None]),
        ([UUID(int=7), "x"], "STRING", [str(UUID(int=7)), "x"]),
        ([True, 1, "false"], "BOOL", [True, True, False]),
        ([timedelta(1), 1], "INT64", [WRONG, 1]),
    ],
)
def test_values_of_several_kinds(values: list[Any], kind: str, expected: list[Any]) -> None:
    assert read(values, kind) == expected


def test_a_date_beside_a_time_does_not_cost_the_hour() -> None:
    """`pa.array` makes dates of both."""
    midnight, noon = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 12, tzinfo=UTC)
    plus = timezone(timedelta(hours=2))

    assert read([date(2026, 1, 1), datetime(2026, 1, 1, 12)], "UNIX_TIMESTAMP") == [midnight, noon]
    assert read([noon.astimezone(plus), datetime(2026, 1, 1)], "UNIX_TIMESTAMP") == [noon, midnight]


@given(st.lists(st.one_of(st.integers(-(2**63), 2**63 - 1), st.none(), st.text(max_size=3), st.floats(), st.binary())))
def test_whole_numbers_keep_all_their_digits_beside_anything(values: list[Any]) -> None:
    found = read(values, "INT64")

    assert len(found) == len(values)
    whole = [(value, got) for value, got in zip(values, found, strict=True) if isinstance(value, int)]
    assert all(value == got for value, got in whole)
