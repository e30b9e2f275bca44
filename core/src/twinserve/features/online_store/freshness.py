"""Which of many event times are too old, or yet to come, without decoding most of them.

A serialized `google.protobuf.Timestamp` of our days is a tag and five bytes of seconds, then nothing or a tag and up to
five bytes of nanoseconds. Read as one little-endian number, the first six bytes are ordered as their seconds are: so
one comparison tells fresh from stale. What is of another form, or lies within a second of one of the limits, is
decoded, and refused unless it is exactly what protobuf would write. Rows that were written together share their times:
each is looked at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from twinserve.features.redis.layout import decode_event_time, without_mark
from twinserve.missing import Status

_MICROS = 1_000_000
_FROM, _BEFORE = 1 << 28, 1 << 35  # seconds that take five bytes: the years 1978 to 3058
_SECONDS = (1 << 48) - 1  # the first six bytes


def _varint(number: int, size: int) -> int:
    """A base-128 number in so many bytes, as a little-endian number."""
    return sum((number >> 7 * i & 0x7F | (0x80 if i < size - 1 else 0)) << 8 * i for i in range(size))


def _usual(nanos: int) -> tuple[int, int]:
    """Of times of the usual form, with so many bytes of nanoseconds: the bits that tell the form, and what they are."""
    tail = (_varint(0, nanos) << 8 | 0x80 << 8 * nanos | 0xFF, _varint(0, nanos) << 8 | 0x10) if nanos else (0, 0)
    if nanos == 5:  # noqa: PLR2004 - the most: 30 bits
        tail = (tail[0] | 0x7C << 40, tail[1])
    return tail[0] << 48 | 0x80_80_80_80_80_FF, tail[1] << 48 | 0x00_80_80_80_80_08


_USUAL = {6 + (1 + nanos if nanos else 0): _usual(nanos) for nanos in range(6)}  # by the length of all
_OTHER = (0, 1)  # no number has this form


def event_statuses(times: Sequence[bytes | None], asked: int, ttl: int | None) -> list[Status]:
    """Of each row of a view: `PRESENT`, `STALE`, or `UNKNOWN` where there is none, one that is yet to come, or one that
    says that the key was deleted.

    Args:
        times: serialized event times.
        asked: µs since 1970 UTC.
        ttl: µs; None for no limit.

    Raises:
        ValueError: no such bytes.
    """
    after, before = _limits(asked, ttl)
    found: dict[bytes | None, Status] = {None: Status.UNKNOWN}
    read, usual = int.from_bytes, _USUAL.get
    for time in set(times):
        if time is None:
            continue
        bits, form = usual(len(time), _OTHER)
        number = read(time, "little")
        if number & bits == form and after < number & _SECONDS < before:
            found[time] = Status.PRESENT
        elif number & bits == form and _OLDEST < number & _SECONDS < after:
            found[time] = Status.STALE
        else:
            found[time] = _decoded(time, asked, ttl)
    return [found[time] for time in times]


def all_fresh(times: Sequence[bytes | None], asked: int, ttl: int | None) -> bool:
    """Whether all of them are there, none too old, yet to come or deleted; False where only decoding could tell."""
    after, before = _limits(asked, ttl)
    read, usual = int.from_bytes, _USUAL.get
    for time in set(times):
        if time is None:
            return False
        bits, form = usual(len(time), _OTHER)
        number = read(time, "little")
        if number & bits != form or not after < number & _SECONDS < before:
            return False
    return True


def _limits(asked: int, ttl: int | None) -> tuple[int, int]:
    """Between which first six bytes, both excluded, a time is fresh whatever follows them."""
    return _OLDEST if ttl is None else _as_stored((asked - ttl) // _MICROS), _as_stored(asked // _MICROS)


def _decoded(time: bytes, asked: int, ttl: int | None) -> Status:
    unmarked = without_mark(time)
    at = decode_event_time(unmarked)
    if at > asked or unmarked != time:
        return Status.UNKNOWN
    return Status.PRESENT if ttl is None or asked - at <= ttl else Status.STALE


@lru_cache(256)
def _as_stored(seconds: int) -> int:
    """What the bytes of these seconds begin with, as a number; of seconds that take another form, the nearest."""
    return _varint(min(max(seconds, _FROM - 1), _BEFORE - 1), 5) << 8 | 0x08


_OLDEST = _as_stored(_FROM - 1)
