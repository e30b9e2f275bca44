"""Text, and true or false."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from twinserve.source_values.cast import (
    Cast,
    all_right,
    all_wrong,
    decoded,
    is_bytes,
    is_null_or_boolean,
    is_text,
    one_by_one,
)
from twinserve.source_values.numbers import NUMBER, whole_numbers

_TRUTH = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


def texts(column: pa.Array) -> Cast:
    """Text as it is; a number in its one shortest form without exponent: `7` for 7, 7.0 and 7.00.

    A whole float beyond 2^53 is wrong, as for whole numbers; so is a time, which has no one form. A date is ISO 8601.
    """
    kind = column.type
    if is_text(kind) or is_null_or_boolean(kind) or pa.types.is_integer(kind):
        return all_right(column.cast(pa.string()))
    if is_bytes(kind):
        return decoded(column)
    if pa.types.is_floating(kind):
        return _float_texts(column)
    if pa.types.is_decimal(kind):
        return one_by_one(column, pa.string(), _decimal_text)
    if pa.types.is_date(kind):
        return _dates(column)
    return all_wrong(column, pa.string())


def truths(column: pa.Array) -> Cast:
    """Booleans; 1 and 0, however they are written; the texts true, false, t and f in any case."""
    kind = column.type
    if is_null_or_boolean(kind):
        return all_right(column.cast(pa.bool_()))
    if is_bytes(kind):
        text = decoded(column)
        found = truths(text.values)
        return found._replace(wrong=found.wrong | text.wrong)
    if is_text(kind):
        return one_by_one(column, pa.bool_(), _truth_of_text)
    if any(test(kind) for test in (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)):
        return _truths_of_numbers(column)
    return all_wrong(column, pa.bool_())


def _float_texts(column: pa.Array) -> Cast:
    whole = whole_numbers(column, pa.int64())
    shown = whole.values.cast(pa.string()).to_pylist()
    wrong = whole.wrong.copy()
    numbers = column.to_numpy(zero_copy_only=False)
    for row in np.flatnonzero(whole.wrong):
        number = numbers[row]
        if np.isfinite(number) and number != np.trunc(number):
            shown[row], wrong[row] = np.format_float_positional(number, unique=True, trim="-"), False
    return Cast(pa.array(shown, pa.string()), wrong)


def _decimal_text(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _dates(column: pa.Array) -> Cast:
    return one_by_one(column.cast(pa.timestamp("ms")).cast(pa.int64()), pa.string(), _date_text)


def _date_text(millis: int) -> str:
    return str(np.datetime64(millis, "ms").astype("datetime64[D]"))


def _truth_of_text(text: str) -> bool:
    word = text.strip().lower()
    if word in _TRUTH:
        return _TRUTH[word]
    return _truth_of_number(Decimal(text) if NUMBER.fullmatch(text) else None)


def _truths_of_numbers(column: pa.Array) -> Cast:
    whole = whole_numbers(column, pa.int64())
    read = one_by_one(whole.values, pa.bool_(), _truth_of_number)
    return read._replace(wrong=read.wrong | whole.wrong)


def _truth_of_number(number: Any) -> bool:
    if number not in (0, 1):
        raise ValueError(number)
    return bool(number)
