"""Source values as the types that a feature view declares; what does not fit is told apart from null.

The same value is read in the same way wherever it comes in, or nowhere: a number of a file, a database or a request
keeps all its digits, and one that may have lost some on its way through a float is refused.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from twinserve.errors import BadInput
from twinserve.source_values.cast import Cast, all_wrong
from twinserve.source_values.numbers import finite_numbers, whole_numbers
from twinserve.source_values.plain_columns import plain_column
from twinserve.source_values.words import texts, truths
from twinserve.values.arrow_types import ARROW_TYPES
from twinserve.values.times import as_instants

EXPECTED = {
    "INT32": "a whole number of 32 bits",
    "INT64": "a whole number of 64 bits",
    "FLOAT": "a finite number",
    "DOUBLE": "a finite number",
    "STRING": "text",
    "BOOL": "true or false",
    "UNIX_TIMESTAMP": "a time",
}


def arrow_type(feast_type: str, column: str) -> pa.DataType:
    """The stored type of a column.

    Raises:
        BadInput: a Feast type that the offline store does not hold (lists, maps, bytes).
    """
    try:
        return ARROW_TYPES[feast_type]
    except KeyError:
        raise BadInput(
            f"{column} is declared as {feast_type}, which can't be ingested", fix=f"Use one of {', '.join(ARROW_TYPES)}"
        ) from None


def cast_column(column: pa.Array | pa.ChunkedArray, feast_type: str) -> Cast:
    """Read a column of any type as `feast_type`. NaN counts as null: pandas writes nulls so."""
    return _READERS[feast_type](plain_column(column))


def cast_key(column: pa.Array | pa.ChunkedArray, feast_type: str) -> Cast:
    """As `cast_column`, for a join key: no boolean is one, since `True` and `true` would be two keys, or the key 1."""
    plain = plain_column(column)
    if pa.types.is_boolean(plain.type):
        return all_wrong(plain, ARROW_TYPES[feast_type])
    return _READERS[feast_type](plain)


_READERS: dict[str, Callable[[pa.Array], Cast]] = {
    "INT32": lambda column: whole_numbers(column, pa.int32()),
    "INT64": lambda column: whole_numbers(column, pa.int64()),
    "FLOAT": lambda column: finite_numbers(column, pa.float32()),
    "DOUBLE": lambda column: finite_numbers(column, pa.float64()),
    "STRING": texts,
    "BOOL": truths,
    "UNIX_TIMESTAMP": lambda column: Cast(*as_instants(column)),
}
