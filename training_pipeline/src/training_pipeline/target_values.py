"""The target's values: classes that are whole numbers, booleans or texts, or the numbers of a regression."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from twinserve.errors import BadInput
from twinserve.source_values.cast import Cast, is_text
from twinserve.source_values.casting import cast_column
from twinserve.source_values.numbers import real_numbers
from twinserve.source_values.plain_columns import plain_column

Class = bool | int | str


def target_type(positive_class: Class | None) -> pa.DataType:
    """The Arrow type of a target: that of its classes, or float64 where there are none."""
    if positive_class is None:
        return pa.float64()
    if isinstance(positive_class, bool):
        return pa.bool_()
    return pa.string() if isinstance(positive_class, str) else pa.int64()


def cast_target(column: pa.Array | pa.ChunkedArray, kind: pa.DataType) -> Cast:
    """A column of any source as the target's type. As numbers, true is 1 and false 0, also in a text file.

    Raises:
        BadInput: booleans, where the classes are texts.
    """
    plain = plain_column(column)
    if pa.types.is_string(kind):
        if pa.types.is_boolean(plain.type):
            raise BadInput(
                "the target holds booleans, and the classes in params.yaml are texts",
                fix="Write `true` and `false` there, without quotation marks; in YAML 1.2, `yes` and `no` are texts",
            )
        return cast_column(plain, "STRING")
    if pa.types.is_boolean(kind):
        return cast_column(plain, "BOOL")
    numbers = _digits_for_truths(plain) if is_text(plain.type) else plain
    return real_numbers(numbers) if pa.types.is_floating(kind) else cast_column(numbers, "INT64")


def _digits_for_truths(column: pa.Array) -> pa.Array:
    """The words of a boolean as the numbers that a boolean is."""
    words = pc.utf8_lower(pc.ascii_trim_whitespace(column))
    digits = pc.if_else(pc.equal(words, "true"), "1", "0")
    is_word = pc.is_in(words, value_set=pa.array(["true", "false"], words.type))
    return pc.if_else(is_word, digits, column.cast(pa.string()))
