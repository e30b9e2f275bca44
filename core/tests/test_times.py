"""Times of every make become the same instant."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinserve.values.times import _from_any_text, as_instants, as_micros

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "naive"),
    [
        ("2026-01-31T12:00:00Z", 0),
        ("2026-01-31 12:00:00+00:00", 0),
        ("2026-01-31 19:00:00+07:00", 0),
        ("2026-01-31 19:00:00+07", 0),
        ("2026-01-31 07:00:00-0500", 0),
        ("2026-01-31 12:00:00", 1),
        ("2026-01-31T12:00", 1),
        ("2026-01-31 12:00:00.000000", 1),
    ],
)
def test_text_times(text: str, naive: int) -> None:
    read = as_instants(pa.array([text]))
    assert (read.values.to_pylist(), read.wrong.tolist(), read.naive) == ([NOON], [False], naive)


@pytest.mark.parametrize("text", ["soon", "", "now", "today", "2026-13-01", "2026-02-30", "31/01/2026", "12"])
def test_text_that_is_no_time(text: str) -> None:
    read = as_instants(pa.array([text, None]))
    assert (read.values.null_count, read.wrong.tolist(), read.naive) == (2, [True, False], 0)


def test_a_bare_date_is_its_midnight_and_names_no_zone() -> None:
    read = as_instants(pa.array(["2026-01-31"]))
    assert (read.values.to_pylist(), read.naive) == ([datetime(2026, 1, 31, tzinfo=UTC)], 1)


@pytest.mark.parametrize(
    ("array", "naive"),
    [
        (pa.array([NOON], pa.timestamp("us", "UTC")), 0),
        (pa.array([NOON], pa.timestamp("ns", "Asia/Saigon")), 0),
        (pa.array([NOON.replace(tzinfo=None)], pa.timestamp("ms")), 1),
        (pa.array([NOON.replace(tzinfo=None)], pa.timestamp("ns")), 1),
    ],
)
def test_typed_times(array: pa.Array, naive: int) -> None:
    read = as_instants(array)
    assert (read.values.to_pylist(), read.naive) == ([NOON], naive)
    assert read.values.type == pa.timestamp("us", "UTC")


def test_numbers_are_no_times_since_their_unit_would_be_a_guess() -> None:
    read = as_instants(pa.array([1_700_000_000, None]))
    assert (read.values.null_count, read.wrong.tolist()) == (2, [True, False])


def test_nanoseconds_are_cut_to_microseconds() -> None:
    array = pa.array([NOON], pa.timestamp("us", "UTC")).cast(pa.timestamp("ns", "UTC"))
    finer = pa.array(array.cast(pa.int64()).to_numpy() + 999, pa.int64()).cast(array.type)
    assert as_instants(finer).values.to_pylist() == [NOON]


@pytest.mark.parametrize("nanos", [1, 999, 1_000, -1, -999, -1_000])
def test_text_and_typed_times_are_cut_alike(nanos: int) -> None:
    typed = pa.array([nanos], pa.timestamp("ns"))
    assert as_instants(typed).values == as_instants(typed.cast(pa.string())).values


@given(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59)), st.sampled_from(["s", "ms", "us"]))
def test_every_moment_that_python_holds_comes_through(moment: datetime, unit: str) -> None:
    moment = moment.replace(microsecond=0)
    read = as_instants(pa.array([moment, None], pa.timestamp(unit)))
    assert (read.values.to_pylist(), read.naive) == ([moment.replace(tzinfo=UTC), None], 1)


@given(st.integers(-(2**63), 2**63 - 1), st.sampled_from(["s", "ms", "us", "ns"]))
def test_no_tick_overflows(tick: int, unit: str) -> None:
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    read = as_instants(pa.array([tick], pa.timestamp(unit)))
    if read.wrong[0]:
        assert not -62_135_596_800 <= tick // per_second < 253_402_300_800
    else:
        assert read.values.cast(pa.int64()).to_pylist() == [tick * 10**6 // per_second]


def test_dates_are_their_midnights() -> None:
    for kind in (pa.date32(), pa.date64()):
        read = as_instants(pa.array([date(1969, 12, 31), None], kind))
        assert (read.values.to_pylist(), read.naive) == ([datetime(1969, 12, 31, tzinfo=UTC), None], 1)


spelled = st.builds(
    lambda moment, form, zone: form.format(moment) + zone,
    st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)),
    st.sampled_from(
        ["{:%Y-%m-%d}", "{:%Y-%m-%dT%H}", "{:%Y-%m-%dT%H:%M}", "{:%Y-%m-%d %H:%M:%S}", "{:%Y-%m-%dT%H:%M:%S.%f}",
         "{:%Y-%m-%d %H:%M:%S.%f}789", " {:%Y-%m-%d}", "{:%Y%m%d}", "{:%Y-%m}"]
    ),
    st.sampled_from(["", "", "Z", "z", " Z", "+00:00", "-05", "+0530", "+25:00", "+02:99", "x"]),
)  # fmt: skip


@given(st.lists(st.none() | st.just("") | spelled, min_size=1, max_size=5))
def test_the_fast_parser_reads_what_the_thorough_one_reads(texts: list[str | None]) -> None:
    column = pa.array(texts, pa.string())
    fast, thorough = as_instants(column), _from_any_text(column)
    assert fast.values.equals(thorough.values)
    assert (fast.wrong.tolist(), fast.naive) == (thorough.wrong.tolist(), thorough.naive)


def test_a_moment_is_microseconds_exactly() -> None:
    # through a float of seconds the last digit is lost
    moment = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    assert as_micros(moment) == 253_402_300_799_999_999
    assert as_micros(datetime(1969, 12, 31, 23, 59, 59, 999_999)) == -1
