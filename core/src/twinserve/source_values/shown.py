"""A value as a message or a record of rows set aside shows it."""

from __future__ import annotations

from typing import Any

import pyarrow as pa


def python_value(value: Any) -> Any:
    """The Python value of an Arrow scalar; its count of units where Python has none: a time beyond the year 9999."""
    if not isinstance(value, pa.Scalar):
        return value
    try:
        return value.as_py()
    except (OverflowError, ValueError):
        return f"{value.value} of {value.type}"


def shown(value: Any) -> str:
    """A value of Arrow or of Python, as Python writes it."""
    return repr(python_value(value))
