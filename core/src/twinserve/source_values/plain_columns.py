"""Columns of any Arrow type as one that every library has kernels for, or a refusal that names it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from twinserve.errors import BadInput

_UUID_PARTS = ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))
_UUID_BYTES = 16


def plain_column(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The same values: dictionaries and runs written out, views as what they view, a UUID as its text, JSON as text.

    A type that has no plain form stays as it is.
    """
    if isinstance(column, pa.ChunkedArray):
        column = pa.nulls(0, column.type) if not column.num_chunks else _joined(column)
    for found, written_plainly in _PLAIN:
        if found(column.type):
            return written_plainly(column)
    return column


def plain_table(table: pa.Table) -> pa.Table:
    """The same rows, each column in its plain form: they can be filtered, taken and written as Parquet."""
    return pa.table([plain_column(column) for column in table.columns], names=table.column_names)


def readable(kind: pa.DataType) -> bool:
    """Whether values of a plain type can be read as a key, a time, a feature or a target at all."""
    tests = (
        pa.types.is_null, pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal,
        pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary,
        pa.types.is_fixed_size_binary, pa.types.is_timestamp, pa.types.is_date,
    )  # fmt: skip
    return any(test(kind) for test in tests)


def readable_column(column: pa.Array | pa.ChunkedArray, place: str) -> pa.Array:
    """The plain form of a column that is going to be read.

    Args:
        place: table or file and column, for the message.

    Raises:
        BadInput: its type holds nothing that a key, a time, a feature or a target can be: a list, a map, a duration.
    """
    plain = plain_column(column)
    if not readable(plain.type):
        raise BadInput(
            f"{place} holds {column.type}, which can't be read as a key, a time or a feature",
            fix="Give numbers, text, booleans, dates or timestamps: convert the column at the source",
        )
    return plain


def _joined(column: pa.ChunkedArray) -> pa.Array:
    """One array; what can't be joined as it is (Arrow lacks kernels for some) is joined in its plain form."""
    if column.num_chunks == 1:
        return column.chunk(0)
    try:
        return column.combine_chunks()
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return pa.concat_arrays([plain_column(chunk) for chunk in column.chunks])


def _written_out(column: pa.Array) -> pa.Array:
    ends = column.run_ends.to_numpy(zero_copy_only=False)
    rows = np.arange(column.offset, column.offset + len(column))
    return plain_column(column.values).take(pa.array(np.searchsorted(ends, rows, side="right")))


def _dictionary(column: pa.Array) -> pa.Array:
    return plain_column(column.dictionary).take(column.indices)


def _extension(column: pa.ExtensionArray) -> pa.Array:
    name = column.type.extension_name
    if name == "arrow.uuid":
        return _uuid_texts(column.storage)
    if name == "arrow.json":
        return plain_column(column.storage)
    if name == "arrow.bool8":
        return column.storage.cast(pa.bool_())
    return column  # what its storage means is not ours to guess


def _uuid_texts(storage: pa.Array) -> pa.Array:
    """As `str(uuid.UUID)` writes them."""
    digits = b"".join(pc.fill_null(storage, bytes(_UUID_BYTES)).to_pylist()).hex()
    texts = [
        "-".join(digits[first + low : first + high] for low, high in _UUID_PARTS)
        for first in range(0, len(digits), 2 * _UUID_BYTES)
    ]
    return pa.array(texts, pa.string(), mask=storage.is_null().to_numpy(zero_copy_only=False))


def _small_decimal(kind: pa.DataType) -> bool:
    return bool(pa.types.is_decimal32(kind) or pa.types.is_decimal64(kind))


_PLAIN: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], pa.Array]], ...] = (
    (pa.types.is_dictionary, _dictionary),
    (pa.types.is_run_end_encoded, _written_out),
    (lambda kind: isinstance(kind, pa.BaseExtensionType), _extension),
    (pa.types.is_string_view, lambda column: column.cast(pa.string())),
    (pa.types.is_binary_view, lambda column: column.cast(pa.binary())),
    (_small_decimal, lambda column: column.cast(pa.decimal128(column.type.precision, column.type.scale))),
)
