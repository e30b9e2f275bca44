"""What a database client gives, value by value, as a column that loses nothing of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

_AS_THEY_ARE = {type(None), bool, int, float, str, bytes, Decimal, date}  # of themselves one kind each


def column_of(values: Sequence[Any]) -> pa.Array:
    """An array of the values' own type, or of their texts where they are of several kinds, or of one that Arrow lacks.

    Arrow would bring several kinds to one: an integer and a decimal to decimals of one scale, a date and a time to
    dates. Their texts can be read one by one.
    """
    types = set(map(type, values))
    given = values if types <= _AS_THEY_ARE else [_given(value) for value in values]
    kinds = types - {type(None)} if given is values else {_kind(value) for value in given if value is not None}
    if len(kinds) <= 1:
        try:
            return pa.array(given)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            pass
    # bytes that are no text stay what they are, and are told apart when they are read
    written, kind = (_bytes, pa.binary()) if bytes in kinds else (_text, pa.string())
    return pa.array([None if value is None else written(value) for value in given], kind)


def _given(value: Any) -> Any:
    """Times in UTC: what Arrow makes of a fixed offset differs with what else is loaded. Documents as JSON."""
    if isinstance(value, (list, tuple, dict)):
        return json.dumps(value, default=str, ensure_ascii=False)
    if isinstance(value, datetime) and value.tzinfo:
        return value.astimezone(UTC)
    return bytes(value) if isinstance(value, (bytearray, memoryview)) else value


def _kind(value: Any) -> object:
    """Values of one kind can stand in one array."""
    if isinstance(value, datetime):
        return datetime, value.tzinfo is not None
    return type(value)


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else _text(value).encode()


def _text(value: Any) -> str:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if isinstance(value, date) else str(value)
