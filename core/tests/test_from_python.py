"""Columns as database clients give them: SQLite's may hold anything, row by row."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
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


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([1, None, 2], pa.int64(), [1, None, 2]),
        ([], pa.null(), []),
        ([None], pa.null(), [None]),
        (["a", None], pa.string(), ["a", None]),
        ([b"\xff", None, "ä", 1], pa.binary(), [b"\xff", None, "ä".encode(), b"1"]),
        ([UUID(int=7), None], pa.uuid(), [UUID(int=7), None]),
        ([None, UUID(int=7), Decimal("1E+2"), True], pa.string(), [None, str(UUID(int=7)), "100", "true"]),
        ([{"ä": Decimal("0.5")}, [1], (2,), None], pa.string(), ['{"ä": "0.5"}', "[1]", "[2]", None]),
        ([date(2026, 1, 2), 1], pa.string(), ["2026-01-02", "1"]),
        ([datetime(2026, 1, 2, 3), date(2026, 1, 2)], pa.string(), ["2026-01-02T03:00:00", "2026-01-02"]),
    ],
)
def test_the_column_is_of_the_values_own_type_or_of_texts(
    values: list[Any], kind: pa.DataType, expected: list[Any]
) -> None:
    column = column_of(values)
    assert (column.type, column.to_pylist()) == (kind, expected)


@pytest.fixture
def clock_in_tokyo() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("clock_in_tokyo")
def test_times_of_several_zones_are_one_column_in_utc() -> None:
    zones = [UTC, timezone(timedelta(hours=2)), timezone(timedelta(hours=-5))]
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    column = column_of([noon.astimezone(zone) for zone in zones])
    assert column.type == pa.timestamp("us", "UTC")
    assert column.to_pylist() == [noon] * 3
    mixed = column_of([noon.astimezone(zones[1]), datetime(2026, 1, 1)])
    assert mixed.to_pylist() == ["2026-01-01T12:00:00+00:00", "2026-01-01T00:00:00"]


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
