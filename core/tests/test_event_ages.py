"""The table and the bounds that event times are compared by, against protobuf's own bytes."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from twinserve.features.online_store import freshness as event_ages
from twinserve.features.online_store.freshness import all_fresh, event_statuses
from twinserve.features.redis.layout import DELETED_MARK
from twinserve.missing import Status

SECONDS = 0b101_1010101_1010110_1100101_0101011  # every byte of them has several bits
NANOS = [0, 0b0010011, 0b0010011_0110101, 0b0010011_0110101_1010101, 0b0010011_0110101_1010101_0101101]
NANOS += [0b11_0100110_1101011_0101010_1011011]
SECOND = 1_000_000


def written(seconds: int, nanos: int = 0) -> bytes:
    content: bytes = Timestamp(seconds=seconds, nanos=nanos).SerializeToString()
    return content


def is_usual(content: bytes, size: int) -> bool:
    """Whether protobuf writes these bytes, with five bytes of seconds and so many of nanoseconds."""
    try:
        time = Timestamp.FromString(content)
    except DecodeError:
        return False
    if written(time.seconds, time.nanos) != content or time.nanos >= 1 << 30:
        return False
    return len(written(time.seconds)) == 6 and len(content) == 6 + (1 + size if size else 0)


@pytest.mark.parametrize("size", range(6))
def test_each_bit_of_the_form_is_one_that_protobuf_always_writes_so(size: int) -> None:
    content = written(SECONDS, NANOS[size])
    assert len(content) == 6 + (1 + size if size else 0)
    bits, form = event_ages._usual(size)
    number = int.from_bytes(content, "little")
    assert number & bits == form
    for place in range(8 * len(content)):
        other = number ^ 1 << place
        usual = is_usual(other.to_bytes(len(content), "little"), size)
        assert (other & bits == form) == usual, place
    assert bits >> 8 * len(content) == 0


@pytest.mark.parametrize("number", [0, 1, 127, 128, SECONDS, (1 << 35) - 1])
def test_a_number_is_written_in_groups_of_seven_bits(number: int) -> None:
    content = written(number)[1:] or b"\0"
    assert event_ages._varint(number, len(content)) == int.from_bytes(content, "little")


@pytest.mark.parametrize("tail", [b"\x10", b"\x10\x80", b"\x18\x02"])
@pytest.mark.parametrize("age", [10, 7200])
def test_a_damaged_time_is_refused_whether_it_would_be_fresh_or_stale(tail: bytes, age: int) -> None:
    now = SECONDS * SECOND
    content = written(SECONDS - age) + tail
    assert not all_fresh([content], now, 3600 * SECOND)
    with pytest.raises(ValueError, match=r"cut off|other bytes"):
        event_statuses([content], now, 3600 * SECOND)


@pytest.mark.parametrize("age", [10, 7200])
@pytest.mark.parametrize("nanos", NANOS)
def test_a_key_that_was_deleted_is_unknown_whatever_its_time(nanos: int, age: int) -> None:
    now = SECONDS * SECOND
    content = written(SECONDS - age, nanos) + DELETED_MARK
    for ttl in (3600 * SECOND, None):
        assert event_statuses([content], now, ttl) == [Status.UNKNOWN]
        assert not all_fresh([content], now, ttl)


def test_times_that_are_clearly_fresh_or_stale_are_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the quick way would be none."""
    monkeypatch.setattr(event_ages, "_decoded", lambda *_: pytest.fail("decoded"))
    now = SECONDS * SECOND
    times = [written(SECONDS - age, nanos) for age in (10, 7200) for nanos in NANOS]
    assert event_statuses(times, now, 3600 * SECOND) == [Status.PRESENT] * 6 + [Status.STALE] * 6
    assert all_fresh(times[:6], now, 3600 * SECOND)
