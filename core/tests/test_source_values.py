"""Every source type read as every declared one, against a model that reads one Python value at a time."""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pytest

from twinserve.errors import BadInput
from twinserve.source_values import numbers
from twinserve.source_values.cast import Cast
from twinserve.source_values.casting import cast_column, cast_key
from twinserve.source_values.numbers import real_numbers
from twinserve.source_values.plain_columns import plain_column, plain_table, readable_column
from twinserve.source_values.renaming import source_columns
from twinserve.source_values.shown import python_value, shown
from twinserve.values.arrow_types import ARROW_TYPES

WRONG = "wrong"
KINDS = ("INT32", "INT64", "FLOAT", "DOUBLE", "STRING", "BOOL")
SPELLED = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
EXACT = {pa.float16(): 2**11, pa.float32(): 2**24, pa.float64(): 2**53}

WHOLE = [0, 1, 2, -1, 127, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)]
FLOATS = [0.0, -0.0, 1.0, -3.0, 0.5, 1e-9, 2047.0, 2048.0, 2.0**24 - 1, 2.0**24, 2.0**31 - 1, 2.0**31, -(2.0**31)]
FLOATS += [-(2.0**31) - 1, 2.0**53 - 1, 2.0**53, -(2.0**53) + 1, -(2.0**53), 1e300, math.nan, math.inf, -math.inf]
DECIMALS = ["0", "1", "1.00", "-0.50", "0.30", "100", "2147483647", "2147483648", "-2147483648", "9223372036854775807"]
DECIMALS += ["9223372036854775808", "-9223372036854775808", "-9223372036854775809", "9007199254740993.0", "-0.00"]
TEXTS = ["", " ", "a", "0", "1", " 1 ", "+1", "++1", "-1", "1.0", "0.0", "1.", ".5", ".", "1e3", "1E3", "1e-3", "1.5e1"]
TEXTS += [
    "0x10",
    "1_0",
    "0_1",
    "\u0661",
    "1,5",
    "٣",
    "nan",
    "NaN",
    "-nan",
    "inf",
    "-inf",
    "+Inf",
    "Infinity",
    " infinity ",
    "n",
    "xinf",
]
TEXTS += ["true", "TRUE", " False ", "t", "F", "yes", "2147483647", "2147483648", "-2147483649", "9223372036854775807"]
TEXTS += ["9223372036854775808", "9007199254740991.0", "9007199254740992.0", "9007199254740993e0", "9007199254740993E0"]
TEXTS += ["-9007199254740992.0", "9007199254740992", "1e400", "1e39", "0.1", "ä", "+", "1e", "1-", "inf-"]


def texts_as(kind: pa.DataType) -> tuple[pa.Array, list[Any]]:
    return pa.array(TEXTS, pa.string()).cast(kind), TEXTS


def in_type(kind: pa.DataType, values: list[Any]) -> tuple[pa.Array, list[Any]]:
    return pa.array(values, kind), values


def whole_in(kind: pa.DataType) -> tuple[pa.Array, list[Any]]:
    least = 0 if pa.types.is_unsigned_integer(kind) else -(1 << kind.bit_width - 1)
    most = (1 << kind.bit_width - (0 if least == 0 else 1)) - 1
    return in_type(kind, [value for value in [*WHOLE, most, least] if least <= value <= most])


def floats_in(kind: pa.DataType) -> tuple[pa.Array, list[Any]]:
    with np.errstate(over="ignore"):
        values = np.array(FLOATS).astype(kind.to_pandas_dtype())
    return pa.array(values), list(values)


def decimals_in(kind: pa.DataType) -> tuple[pa.Array, list[Any]]:
    held = [Decimal(text) for text in DECIMALS]
    return in_type(kind, [value for value in held if len(value.as_tuple().digits) + 2 <= kind.precision])


BYTES = [text.encode() for text in TEXTS] + [b"\xff", b"1\xff"]
SAME = [b"1.0 ", b"true", b"\xff234", b"1234"]
DAYS, MOMENTS = [date(2026, 1, 31), date(1, 1, 1)], [datetime(2026, 1, 1, tzinfo=UTC)]
IDS, LETTERS = [UUID(int=7), UUID(int=2**128 - 1)], ["1", "x", "1", "true", "0"]


def source_columns_of_every_type() -> dict[str, tuple[pa.Array, list[Any]]]:
    """Name → column and its Python values; the last is a null in each."""
    found = {f"{kind}": whole_in(kind) for kind in (pa.int8(), pa.int32(), pa.int64(), pa.uint32(), pa.uint64())}
    found |= {f"{kind}": floats_in(kind) for kind in EXACT}
    for decimal in (pa.decimal32(9, 2), pa.decimal64(18, 2), pa.decimal128(38, 2), pa.decimal256(60, 2)):
        found[f"{decimal}"] = decimals_in(decimal)
    found["whole decimals"] = in_type(pa.decimal128(20, 0), [Decimal(text) for text in ("0", "10", "-100", "1")])
    found |= {f"{kind}": texts_as(kind) for kind in (pa.string(), pa.large_string(), pa.string_view())}
    found |= {f"{kind}": in_type(kind, BYTES) for kind in (pa.binary(), pa.large_binary(), pa.binary_view())}
    found |= {"fixed": in_type(pa.binary(4), SAME), "bool": in_type(pa.bool_(), [True, False])}
    found |= {f"{kind}": in_type(kind, DAYS) for kind in (pa.date32(), pa.date64())}
    found |= {"time": in_type(pa.timestamp("us", "UTC"), MOMENTS), "null": (pa.nulls(2), [None, None])}
    found["span"] = in_type(pa.duration("s"), [timedelta(1)])
    found["uuid"] = pa.array([value.bytes for value in IDS], pa.uuid().storage_type).cast(pa.uuid()), IDS
    found["json"] = pa.array(['{"a": 1}', "1"]).cast(pa.json_()), ['{"a": 1}', "1"]
    found["bool8"] = pa.ExtensionArray.from_storage(pa.bool8(), pa.array([0, 1, 5], pa.int8())), [False, True, True]
    found["categories"] = pa.array(LETTERS).dictionary_encode(), LETTERS
    flags = [True, False, True]
    found["flags"] = pa.array(flags).dictionary_encode(), flags
    return {
        name: (pa.concat_arrays([column, pa.nulls(1, column.type)]), [*values, None])
        for name, (column, values) in found.items()
    }


COLUMNS = source_columns_of_every_type()


def runs(values: pa.Array) -> pa.Array:
    """Each value twice, as a run."""
    return pa.RunEndEncodedArray.from_arrays(pa.array(range(2, 2 * len(values) + 1, 2), pa.int32()), values)


class Unfit(Exception):
    """No such value."""


def spelled(text: str) -> Decimal:
    if not SPELLED.fullmatch(text):
        raise Unfit
    return Decimal(text)


def text_of(value: Any) -> Any:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise Unfit from None
    return str(value) if isinstance(value, UUID) else value


def whole(value: Any, bits: int, kind: pa.DataType) -> int:
    if isinstance(value, str):
        number = spelled(value)
        if abs(number) >= 2**53 and set(value) & set(".eE"):
            raise Unfit
    elif isinstance(value, bool | int | Decimal):
        number = Decimal(value)
    elif isinstance(value, float | np.floating) and math.isfinite(value) and abs(float(value)) < EXACT[kind]:
        number = Decimal(float(value))
    else:
        raise Unfit
    if number != number.to_integral_value() or not -(2 ** (bits - 1)) <= number < 2 ** (bits - 1):
        raise Unfit
    return int(number)


def real(value: Any) -> float:
    if isinstance(value, str):
        if value.strip().lower() in ("nan", "-nan"):
            return math.nan
        infinite = re.fullmatch(r"\s*([+-]?)inf(inity)?\s*", value, re.IGNORECASE)
        return math.copysign(math.inf, -1 if infinite[1] == "-" else 1) if infinite else float(spelled(value))
    if isinstance(value, bool | int | Decimal | float | np.floating):
        return float(value)
    raise Unfit


def finite(value: Any, kind: str) -> float | None:
    with np.errstate(over="ignore"):
        number = float(np.float32(real(value))) if kind == "FLOAT" else real(value)
    if math.isinf(number):
        raise Unfit
    return None if math.isnan(number) else number


def word(value: Any, kind: pa.DataType) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float | np.floating) and math.isfinite(value) and value != int(value):
        return f"{Decimal(str(value)):f}"
    if isinstance(value, Decimal) and value != int(value):
        return f"{value:f}".rstrip("0")
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    return str(int(value)) if isinstance(value, Decimal) else str(whole(value, 65, kind))


def truth(value: Any, kind: pa.DataType) -> bool:
    if isinstance(value, str) and (known := value.strip().lower()) in ("true", "t", "false", "f"):
        return known[0] == "t"
    number = spelled(value) if isinstance(value, str) else whole(value, 64, kind)
    if number not in (0, 1):
        raise Unfit
    return bool(number)


def modelled(value: Any, kind: str, source: pa.DataType) -> Any:
    if value is None:
        return None
    if isinstance(value, float | np.floating) and math.isnan(value):
        return None
    try:
        value = text_of(value)
        if kind in ("INT32", "INT64"):
            return whole(value, int(kind[3:]), source)
        if kind in ("FLOAT", "DOUBLE"):
            return finite(value, kind)
        return word(value, source) if kind == "STRING" else truth(value, source)
    except Unfit:
        return WRONG


def outcome(read: Cast, kind: pa.DataType) -> list[Any]:
    assert read.values.type == kind
    assert len(read.values) == len(read.wrong)
    assert read.wrong.dtype == bool
    values = read.values.to_pylist()
    assert all(value is None for value, bad in zip(values, read.wrong, strict=True) if bad)
    return [WRONG if bad else value for value, bad in zip(values, read.wrong, strict=True)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source", COLUMNS)
def test_a_column_of_any_type_is_read_value_by_value(source: str, kind: str) -> None:
    column, values = COLUMNS[source]
    target = ARROW_TYPES[kind]
    expected = [modelled(value, kind, column.type) for value in values]
    assert outcome(cast_column(column, kind), target) == expected
    for place in range(len(values)):  # alone, it is read the quick way wherever it fits
        assert outcome(cast_column(column.slice(place, 1), kind), target) == expected[place : place + 1]
    pieces = pa.chunked_array([column.slice(1), column.slice(0, 1), pa.nulls(2, column.type)])
    assert outcome(cast_column(pieces, kind), target) == [*expected[1:], expected[0], None, None]
    assert outcome(cast_column(column.slice(0, 0), kind), target) == []
    assert outcome(cast_column(pa.chunked_array([], column.type), kind), target) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source", ["int64", "double", "string", "bool", "date32[day]", "decimal64(18, 2)", "uuid"])
def test_runs_are_read_as_their_values(source: str, kind: str) -> None:
    column, values = COLUMNS[source]
    target, storage = ARROW_TYPES[kind], column.storage if source == "uuid" else column
    expected = [modelled(value, kind, column.type) for value in values for _ in range(2)]
    if source == "uuid":
        column, expected = storage, outcome(cast_column(runs(storage), kind), target)
    encoded = runs(column)
    assert outcome(cast_column(encoded, kind), target) == expected
    assert outcome(cast_column(encoded.slice(1, 2), kind), target) == expected[1:3]
    pieces = pa.chunked_array([encoded.slice(1), encoded.slice(0, 1)])
    assert outcome(cast_column(pieces, kind), target) == [*expected[1:], expected[0]]


@pytest.mark.parametrize("source", COLUMNS)
def test_a_key_is_read_as_a_value_and_no_boolean_is_one(source: str) -> None:
    column, values = COLUMNS[source]
    for kind in ("INT32", "INT64", "STRING", "BOOL"):
        expected = outcome(cast_column(column, kind), ARROW_TYPES[kind])
        if source in ("bool", "bool8", "flags"):
            expected = [None if value is None else WRONG for value in values]
        assert outcome(cast_key(column, kind), ARROW_TYPES[kind]) == expected
    keys = pa.chunked_array([pa.array([True, None])])
    assert outcome(cast_key(keys, "INT64"), pa.int64()) == [WRONG, None]


def test_what_is_no_number_is_null_of_the_type() -> None:
    for column in (pa.array(["x"]), pa.array([None], pa.string()), COLUMNS["date32[day]"][0]):
        assert real_numbers(column).values.equals(pa.nulls(len(column), pa.float64()))


def test_numbers_of_a_target_may_be_infinite() -> None:
    read = real_numbers(pa.array(TEXTS))
    for text, value, bad in zip(TEXTS, read.values.to_pylist(), read.wrong, strict=True):
        try:
            expected = real(text)
        except Unfit:
            assert (value, bad) == (None, True), text
        else:
            assert not bad
            np.testing.assert_equal(value, expected)


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["1", " +2 ", "-3", None], "INT64"),
        ([None, None], "INT64"),
        ([], "INT32"),
        ([None], "DOUBLE"),
        (["1.5", " 2e3", None], "DOUBLE"),
    ],
)
@pytest.mark.parametrize("source", [pa.string(), pa.large_string(), pa.binary()])
def test_texts_of_plain_numbers_are_read_all_at_once(
    texts: list[str | None], kind: str, source: pa.DataType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One by one takes twenty times as long."""
    monkeypatch.delattr(numbers, "one_by_one")
    expected = [None if text is None else float(text) for text in texts]
    assert cast_column(pa.array(texts, pa.string()).cast(source), kind).values.to_pylist() == expected


def test_a_plain_table_has_the_same_rows() -> None:
    ids = COLUMNS["uuid"][0]
    table = pa.table({"runs": runs(pa.array([1])).slice(0, 1).to_pylist() * 3, "id": ids, "list": [[1], [2], None]})
    plain = plain_table(table.append_column("cat", pa.array(["a", "b", "a"]).dictionary_encode()))
    assert plain.schema.types == [pa.int64(), pa.string(), pa.list_(pa.int64()), pa.string()]
    assert plain.to_pydict() == {
        "runs": [1, 1, 1],
        "id": [*map(str, IDS), None],
        "list": [[1], [2], None],
        "cat": ["a", "b", "a"],
    }


@pytest.mark.parametrize("source", [*(name for name in COLUMNS if name != "span"), "runs"])
def test_what_can_be_read_is_readable(source: str) -> None:
    column = runs(pa.array([1])) if source == "runs" else COLUMNS[source][0]
    assert readable_column(column, "here").type == plain_column(column).type


@pytest.mark.parametrize("column", [COLUMNS["span"][0], pa.array([[1]]), pa.array([{"a": 1}]), pa.array([[1]] * 2)])
def test_what_can_not_be_read_is_named(column: pa.Array) -> None:
    with pytest.raises(BadInput, match=re.escape(f"table t: c holds {column.type}, which can't be read as a key")):
        readable_column(pa.chunked_array([column]), "table t: c")


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        (pa.int64(), pa.int64()),
        (pa.uuid(), pa.string()),
        (pa.decimal32(9, 2), pa.decimal128(9, 2)),
        (pa.decimal64(18, 4), pa.decimal128(18, 4)),
    ],
)
def test_the_plain_form_of_a_column_is_of_one_type_without_rows_too(given: pa.DataType, plain: pa.DataType) -> None:
    for column in (pa.nulls(0, given), pa.nulls(2, given), pa.chunked_array([], given)):
        assert plain_column(column).type == plain


def test_an_extension_of_others_stays_what_it_is() -> None:
    column = pa.ExtensionArray.from_storage(pa.opaque(pa.int64(), "point", "somebody"), pa.array([1]))
    assert plain_column(column) is column


@pytest.mark.parametrize(
    ("rename", "expected"),
    [
        ({}, {"shop": "shop", "rate": "rate"}),
        ({"store": "shop", "other": "rate", "gone": "rate"}, {"shop": "store", "rate": "other"}),
        ({"gone": "shop"}, {"shop": "shop", "rate": "rate"}),
        ({"rate": "shop", "shop": "rate"}, {"shop": "rate", "rate": "shop"}),
        ({"store": "town"}, {"shop": "shop", "rate": "rate"}),
    ],
)
def test_columns_are_read_from_those_that_are_renamed(rename: dict[str, str], expected: dict[str, str]) -> None:
    assert source_columns(["shop", "rate"], rename, ["shop", "rate", "store", "other"], "t") == expected
    with pytest.raises(BadInput, match="t has both store and other, which `rename` makes shop"):
        source_columns(["shop"], {"store": "shop", "other": "shop"}, ["store", "other"], "t")


def test_a_value_is_shown_as_python_writes_it() -> None:
    assert [shown(value) for value in ("a", pa.scalar("a"), 1, pa.scalar(1), pa.scalar(None))] == [
        "'a'", "'a'", "1", "1", "None",
    ]  # fmt: skip
    assert python_value(pa.scalar(2**62, pa.timestamp("s"))) == f"{2**62} of timestamp[s]"
