"""Whole numbers to the last digit, and floating ones to the nearest."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from twinserve.source_values.cast import (
    Cast,
    all_right,
    all_wrong,
    decoded,
    is_bytes,
    is_null_or_boolean,
    is_text,
    one_by_one,
    right_where,
)

# digits of ASCII only, and no `1_000`, `0x10` or `1,5`: one library or another reads each of them, no source means them
NUMBER = re.compile(r"\s*[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*", re.ASCII)
_DIGITS = r"^[+-]?[0-9]+$"
_POINTED = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"
# beyond these, a float no longer tells which whole number it was made of
_EXACT = {16: 1 << 11, 32: 1 << 24, 64: 1 << 53}


def whole_numbers(column: pa.Array, target: pa.DataType) -> Cast:
    """Numbers that are whole and within the type, to the last digit.

    A float, or a text written like one (`9007199254740992.0`), counts only below 2^53: beyond it may have lost digits.
    One of 32 bits counts below 2^24, one of 16 below 2^11.
    """
    for fits, read in _WHOLE:
        if fits(column.type):
            return read(column, target)
    return all_wrong(column, target)


def finite_numbers(column: pa.Array, target: pa.DataType) -> Cast:
    """Numbers as the nearest of the float type, NaN as null; infinity, and what the type makes infinite, is wrong."""
    read = real_numbers(column)
    numbers = pc.if_else(pc.is_nan(read.values), pa.scalar(None, pa.float64()), read.values)
    with np.errstate(over="ignore"):
        values = numbers.cast(target, safe=False)
    infinite = pc.fill_null(pc.is_inf(values), fill_value=False)
    wrong = infinite.to_numpy(zero_copy_only=False) | read.wrong
    return Cast(pc.if_else(infinite, pa.scalar(None, target), values), wrong)


def real_numbers(column: pa.Array) -> Cast:
    """Numbers as the nearest float64; NaN and infinity stay."""
    kind = column.type
    if is_null_or_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        # unsafe: Arrow would refuse an integer that a float has to round
        return all_right(column.cast(pa.float64(), safe=False))
    if pa.types.is_decimal(kind):
        # by way of their text: Arrow's own cast is off by a last bit for many
        return real_numbers(column.cast(pa.string()))
    if is_bytes(kind):
        return _of_bytes(column, real_numbers)
    if is_text(kind):
        return _real_texts(column)
    return all_wrong(column, pa.float64())


def _unchanged(column: pa.Array, target: pa.DataType) -> Cast:
    return all_right(column.cast(target))


def _within(column: pa.Array, target: pa.DataType) -> Cast:
    if quick := _quickly(column, target):
        return quick
    bound = 1 << target.bit_width - 1
    held = pc.less_equal(column, pa.scalar(bound - 1, column.type))
    if pa.types.is_signed_integer(column.type):
        held = pc.and_(held, pc.greater_equal(column, pa.scalar(-bound, column.type)))
    kept = pc.if_else(held, column, pa.scalar(None, column.type)).cast(target)
    return right_where(kept.is_valid().to_numpy(False), kept, column.is_valid().to_numpy(False))


def _whole_floats(column: pa.Array, target: pa.DataType) -> Cast:
    numbers = column.to_numpy(zero_copy_only=False).astype(np.float64)  # NaN for null
    exact, bound = _EXACT[column.type.bit_width], 1 << target.bit_width - 1
    with np.errstate(invalid="ignore"):
        right = (np.abs(numbers) < exact) & (-bound <= numbers) & (numbers < bound) & (numbers == np.trunc(numbers))
    whole = pa.array(np.where(right, numbers, 0).astype(np.int64)).cast(target)
    return right_where(right, whole, ~np.isnan(numbers))


def _whole_decimals(column: pa.Array, target: pa.DataType) -> Cast:
    return _quickly(column, target) or one_by_one(column, target, _whole_decimal(target.bit_width))


def _whole_bytes(column: pa.Array, target: pa.DataType) -> Cast:
    return _of_bytes(column, lambda text: whole_numbers(text, target))


def _whole_texts(column: pa.Array, target: pa.DataType) -> Cast:
    stripped = pc.ascii_trim_whitespace(column)
    # Arrow takes no plus sign
    plain = pc.all(pc.match_substring_regex(stripped, _DIGITS), min_count=0).as_py()
    quick = _quickly(pc.ascii_ltrim(stripped, "+"), target) if plain else None
    return quick or one_by_one(column, target, _whole_text(target.bit_width))


def _real_texts(column: pa.Array) -> Cast:
    stripped = pc.ascii_trim_whitespace(column)
    plain = pc.all(pc.match_substring_regex(stripped, _POINTED), min_count=0).as_py()
    quick = _quickly(stripped, pa.float64()) if plain else None
    return quick or one_by_one(column, pa.float64(), _real_text)


def _quickly(column: pa.Array, target: pa.DataType) -> Cast | None:
    """Arrow's own exact cast; None where a value does not fit, or Arrow has none."""
    try:
        return all_right(column.cast(target))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None


def _of_bytes(column: pa.Array, read: Callable[[pa.Array], Cast]) -> Cast:
    text = decoded(column)
    found = read(text.values)
    return found._replace(wrong=found.wrong | text.wrong)


def _whole_text(bits: int) -> Callable[[str], int]:
    read = _whole_decimal(bits)

    def whole(text: str) -> int:
        number = read(Decimal(_spelled(text)))
        if abs(number) >= _EXACT[64] and any(mark in text for mark in ".eE"):
            raise ValueError(text)  # written like a float, which may have lost digits
        return number

    return whole


def _whole_decimal(bits: int) -> Callable[[Decimal], int]:
    bound = 1 << bits - 1

    def whole(number: Decimal) -> int:
        if not -bound <= number < bound or number != int(number):
            raise ValueError(number)
        return int(number)

    return whole


def _real_text(text: str) -> float:
    name = text.strip().lower().lstrip("+-")
    return float(text) if name in ("nan", "inf", "infinity") else float(_spelled(text))


def _spelled(text: Any) -> str:
    if not NUMBER.fullmatch(text):
        raise ValueError(text)
    return str(text)


_WHOLE: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array, pa.DataType], Cast]], ...] = (
    (is_null_or_boolean, _unchanged),
    (pa.types.is_integer, _within),
    (pa.types.is_floating, _whole_floats),
    (pa.types.is_decimal, _whole_decimals),
    (is_bytes, _whole_bytes),
    (is_text, _whole_texts),
)
