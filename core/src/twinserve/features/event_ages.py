"""Which of many event times are too old, without decoding most of them.

A serialized `google.protobuf.Timestamp` of our days begins with a tag and five bytes of seconds. Read as one
little-endian number, such bytes are ordered as their seconds are, so one comparison tells fresh from stale. What is of
another form, or lies within the second of the limit, is decoded.
"""

from __future__ import annotations

from collections.abc import Sequence

from twinserve.features.redis_layout import decode_event_time
from twinserve.missing import Status

_USUAL = 6  # a tag, and the seconds from 2^28 to 2^35: the years 1978 to 3058
_FORM, _PATTERN = 0x80_80_80_80_80_FF, 0x00_80_80_80_80_08
_FROM, _BEFORE = 1 << 28, 1 << 35
_MICROS = 1_000_000


def event_statuses(times: Sequence[bytes | None], asked: int, ttl: int | None) -> list[Status]:
    """Of each row of a view: `PRESENT`, `STALE`, or `UNKNOWN` where there is none.

    Args:
        times: serialized event times.
        asked: µs since 1970 UTC.
        ttl: µs; None for no limit.

    Raises:
        ValueError: no such bytes.
    """
    if ttl is None:
        return [Status.UNKNOWN if time is None else Status.PRESENT for time in times]
    oldest = asked - ttl
    limit = _as_stored(oldest // _MICROS)
    return [Status.UNKNOWN if time is None else _status(time, oldest, limit) for time in times]


def all_fresh(times: Sequence[bytes | None], asked: int, ttl: int | None) -> bool:
    """Whether all of them are there and none is too old; False also where only decoding could tell."""
    if ttl is None:
        return None not in times
    limit = _as_stored((asked - ttl) // _MICROS)
    if limit is None:
        return False
    for time in times:
        if time is None:
            return False
        start = int.from_bytes(time[:_USUAL], "little")
        if start <= limit or start & _FORM != _PATTERN:
            return False
    return True


def _status(time: bytes, oldest: int, limit: int | None) -> Status:
    start = int.from_bytes(time[:_USUAL], "little")
    if limit is not None and start != limit and start & _FORM == _PATTERN:
        return Status.PRESENT if start > limit else Status.STALE
    try:
        return Status.PRESENT if decode_event_time(time) >= oldest else Status.STALE
    except IndexError:
        raise ValueError("the event time is cut off") from None


def _as_stored(seconds: int) -> int | None:
    """What the bytes of these seconds begin with, as a number; None where they take another form."""
    if not _FROM <= seconds < _BEFORE:
        return None
    stored = 0x08
    for group in range(5):
        stored |= ((seconds >> 7 * group & 0x7F) | (0x80 if group < 4 else 0)) << 8 * (group + 1)  # noqa: PLR2004
    return stored
