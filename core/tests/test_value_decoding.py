"""Cells of one type, all at once, against one at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from feast.protos.feast.types.Value_pb2 import Null, Value
from hypothesis import example, given
from hypothesis import strategies as st

from twinserve.features.redis import value_decoding
from twinserve.features.redis.value_decoding import number, numbers

TAGS = {"INT32": 0x18, "INT64": 0x20, "BOOL": 0x38}
GROUPS = st.integers(0x80, 0xFF) | st.sampled_from([0, 1, 2, 0x7F, 0x80, 0x81, 0x20, 0x38])


def is_one(cell: bytes, tag: int) -> bool:
    """Whether the cell is this tag and one number, which ends where the cell does."""
    try:
        number(cell)
    except ValueError:
        return False
    return cell[0] == tag


@given(st.sampled_from(list(TAGS)), st.integers(2, 11), st.data())
@example("INT64", 11, None)
@example("BOOL", 2, None)
def test_a_block_of_whole_numbers_is_each_of_them(kind: str, size: int, data: st.DataObject | None) -> None:
    tag = TAGS[kind]
    tails = [b"\x80" * (size - 2) + bytes([last]) for last in (0, 1, 2, 3, 0x7F, 0x80, tag)]
    tails += [bytes([0x80] * at + [0x7F] + [0x80] * (size - 3 - at) + [1]) for at in range(size - 2)]
    tails += (
        [] if data is None else data.draw(st.lists(st.lists(GROUPS, min_size=size - 1, max_size=size - 1).map(bytes)))
    )
    cells = [bytes([first]) + tail for tail in tails for first in (tag, 0x29)]
    good, found = value_decoding._varints(np.frombuffer(b"".join(cells), np.uint8).reshape(-1, size), tag)
    expected = [is_one(cell, tag) for cell in cells]
    assert good.tolist() == expected
    assert [float(value) for value in found[good]] == [number(c) for c, one in zip(cells, expected, strict=True) if one]


INTEGERS = [0, 1, -1, 127, 128, 2**14, 2**21, 2**28, 2**35, 2**42, 2**49, 2**53, 2**56, 2**63 - 1, -(2**63)]
COLUMNS = {
    "INT32": [Value(int32_val=value) for value in INTEGERS if abs(value) < 2**31],
    "INT64": [Value(int64_val=value) for value in INTEGERS],
    "FLOAT": [Value(float_val=value) for value in (0.0, -1.5, math.inf)],
    "DOUBLE": [Value(double_val=value) for value in (0.0, 0.1, -1e300)],
    "BOOL": [Value(bool_val=value) for value in (True, False)],
}
NULL = Value(null_val=Null.NULL).SerializeToString()


@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("kind", COLUMNS)
def test_only_cells_of_another_form_are_read_one_by_one(
    kind: str, alike: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the quick way would be none."""
    asked: list[bytes | None] = []

    def read(cell: bytes | None) -> float:
        asked.append(cell)
        return number(cell)

    monkeypatch.setattr(value_decoding, "number", read)
    cells = [message.SerializeToString() for message in COLUMNS[kind]]
    if alike:
        for cell in cells:
            assert numbers([cell] * 3, kind).tolist() == [number(cell)] * 3
        assert asked == []
    else:
        column = [None, NULL, *cells, b"", None]
        np.testing.assert_array_equal(numbers(column, kind), [number(cell) for cell in column])
        assert asked == [NULL]


@pytest.mark.parametrize(
    "cell", [b"\x20" + b"\x80" * 9 + b"\x02", b"\x20" + b"\xff" * 10 + b"\x01", b"\x20\x01\x01", b"\x38\x80\x01\x01"]
)
def test_a_number_that_is_too_long_is_refused(cell: bytes) -> None:
    with pytest.raises(ValueError, match=r"^the value is cut off, or too long$"):
        number(cell)
    for kind in TAGS:
        with pytest.raises(ValueError, match="too long"):
            numbers([cell, cell], kind)


@pytest.mark.parametrize("cell", [b"\x35\0\0\0", b"\x35\0\0\0\0\0", b"\x29" + b"\0" * 7, b"\x29" + b"\0" * 9])
def test_a_float_of_another_length_is_refused(cell: bytes) -> None:
    with pytest.raises(ValueError, match=r"^the value is cut off, or too long$"):
        number(cell)
