"""How many bytes rows take, and where to cut a table of them so that no part is too large for Arrow or for memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Sizes = npt.NDArray[np.int64]


def row_sizes(batch: pa.RecordBatch) -> Sizes:
    """Bytes of each row's values: of text, binary and lists their own length, so that one long value counts."""
    sizes = np.zeros(batch.num_rows, np.int64)
    for column in batch.columns:
        sizes += _sizes(column)
    return sizes


def cuts(sizes: Sizes, most: int) -> Iterator[tuple[int, int]]:
    """Stretches `[first, end)` of rows of at most `most` bytes each, or of one row; an empty one if there is no row."""
    total, first = np.cumsum(sizes), 0
    while True:
        before = total[first - 1] if first else 0
        end = max(int(np.searchsorted(total, before + most, side="right")), min(first + 1, len(sizes)))
        yield first, end
        first = end
        if first >= len(sizes):
            return


def _sizes(values: pa.Array) -> Sizes | int:
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    kind = values.type
    if pa.types.is_struct(kind):
        return sum((_sizes(child) for child in values.flatten()), np.ones(len(values), np.int64))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_map(kind):
        ends = values.offsets.to_numpy().astype(np.int64)
        total = np.concatenate([[0], np.cumsum(_sizes(values.values) + np.zeros(len(values.values), np.int64))])
        return np.asarray(total[ends[1:]] - total[ends[:-1]], np.int64)
    if pa.types.is_fixed_size_list(kind):
        held = values.values.slice(values.offset * kind.list_size, len(values) * kind.list_size)
        each = (_sizes(held) + np.zeros(len(held), np.int64)).reshape(len(values), kind.list_size)
        return np.asarray(each.sum(axis=1), np.int64)
    if _is_text(kind):
        lengths = pc.fill_null(pc.binary_length(values), 0)
        return np.asarray(lengths.to_numpy(zero_copy_only=False), np.int64)
    return _width(kind)


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
    )


def _width(kind: pa.DataType) -> int:
    """At least a byte, so that the number of a list's values is bounded too."""
    try:
        return max(1, int(kind.bit_width) // 8)
    except ValueError:  # has no width, as nulls and views
        return 8
