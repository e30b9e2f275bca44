"""A value means the same wherever it comes in, or is refused everywhere: sources, labels, entity rows, the join."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from data_pipeline.clean import clean_part
from data_pipeline.raw_rows import RawPart
from training_pipeline.labels import LabelColumns, typed_labels
from twinserve.errors import BadInput
from twinserve.features.feast_repo.views import ViewSpec
from twinserve.features.redis.layout import redis_key
from twinserve.features.redis.value_encoding import encoded_keys
from twinserve.features.stored_files.feast_arrow import asked_keys
from twinserve.values.entity_rows import read_entity_rows

REFUSED = "refused"
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
KINDS = ("INT32", "INT64", "STRING")
LIKE_NUMBERS = ["1e3", "007", "+5", " 12 ", "1_000", "1.0", "٣", "0x10", "-0", "1,000", "", "True", "1e", "5.", ".5"]
LIKE_NUMBERS += ["9007199254740993", "9007199254740993.0", "9223372036854775808", "nan", "inf", "1e400", "½"]


def ingested(values: pa.Array, kind: str) -> Any:
    view = ViewSpec("v", {"key": kind}, {}, Path(), "at", None, None)
    table = pa.table({"key": values, "at": [NOON]})
    cleaned = clean_part(RawPart(0, "s", {"key": "key", "at": "at"}, table), view).table
    return cleaned["key"][0].as_py() if cleaned.num_rows else REFUSED


def labelled(values: pa.Array, kind: str) -> Any:
    columns = LabelColumns({"key": kind}, "at", "won", pa.int64())
    rows = {"key": pa.chunked_array([values]), "at": [NOON], "won": [1]}
    return typed_labels(rows, columns, "here", 0)["key"][0].as_py()


def given_in_a_file(values: pa.Array, kind: str) -> Any:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "rows.parquet"
        pq.write_table(pa.table({"key": values, "event_timestamp": [NOON]}), file)
        return read_entity_rows(file, {"key": kind}).table["key"][0].as_py()


def joined(values: pa.Array, kind: str) -> Any:
    read = asked_keys(values, kind)[0].as_py()
    if kind == "INT32" and read is not None and not -(2**31) <= read < 2**31:
        return REFUSED  # no stored key is equal to it
    return read


READERS: list[Callable[[pa.Array, str], Any]] = [labelled, given_in_a_file, joined]


def readings(values: pa.Array, kind: str) -> dict[str, Any]:
    found = {"ingested": ingested(values, kind)}
    for reader in READERS:
        try:
            read = reader(values, kind)
        except (BadInput, ValueError):
            read = REFUSED
        # a key that is null is refused at ingest, and unknown where it asks
        found[reader.__name__] = REFUSED if read is None else read
    return found


WHOLE = st.one_of(
    st.integers(-(2**63), 2**64 - 1), st.sampled_from([2**53, 2**53 + 1, 2**53 - 1, 2**63, 2**31, -(2**31)])
)
ARRAYS = st.one_of(
    WHOLE.filter(lambda n: n >= 0).map(lambda n: pa.array([n], pa.uint64())),
    WHOLE.filter(lambda n: n < 2**63).map(lambda n: pa.array([n], pa.int64())),
    WHOLE.map(lambda n: pa.array([float(n)])),
    st.floats().map(lambda x: pa.array([x])),
    st.floats(width=32).map(lambda x: pa.array([x], pa.float32())),
    WHOLE.map(lambda n: pa.array([Decimal(n)], pa.decimal128(38, 2))),
    st.decimals(-(10**20), 10**20, places=3).map(lambda d: pa.array([d], pa.decimal256(60, 5))),
    st.booleans().map(lambda b: pa.array([b])),
    st.sampled_from(LIKE_NUMBERS).map(lambda t: pa.array([t])),
    st.text(max_size=6).map(lambda t: pa.array([t])),
    WHOLE.map(lambda n: pa.array([str(n)], pa.string_view())),
    WHOLE.map(lambda n: pa.array([str(n)], pa.large_string()).dictionary_encode()),
    st.uuids().map(lambda u: pa.array([u.bytes], pa.uuid())),
)


@settings(deadline=None, max_examples=150)
@given(ARRAYS, st.sampled_from(KINDS))
@example(pa.array([Decimal(2**53 + 1)]), "INT64")
@example(pa.array([float(2**53)]), "INT64")
@example(pa.array([float(2**53)]), "STRING")
@example(pa.array([float(-(2**31))]), "INT32")
def test_a_key_is_one_key_in_every_reader(values: pa.Array, kind: str) -> None:
    found = readings(values, kind)

    assert len(set(map(repr, found.values()))) == 1, found


@pytest.mark.parametrize("text", LIKE_NUMBERS)
@pytest.mark.parametrize("kind", KINDS)
def test_text_that_looks_like_a_number(text: str, kind: str) -> None:
    whole = {"1e3": 1000, "007": 7, "+5": 5, " 12 ": 12, "1.0": 1, "-0": 0, "5.": 5, "9007199254740993": 2**53 + 1}
    expected = text if kind == "STRING" else whole.get(text, REFUSED)
    if kind == "INT32" and expected == 2**53 + 1:
        expected = REFUSED

    assert set(readings(pa.array([text]), kind).values()) == {expected}


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (pa.array([Decimal(2**53 + 1)]), "INT64", 2**53 + 1),
        (pa.array([Decimal("9007199254740993.00")]), "INT64", 2**53 + 1),
        (pa.array([Decimal("1.5")]), "INT64", REFUSED),
        (pa.array([2**63], pa.uint64()), "INT64", REFUSED),
        (pa.array([2**63], pa.uint64()), "STRING", str(2**63)),
        (pa.array([2.0**53 - 1]), "INT64", 2**53 - 1),
        (pa.array([2.0**53]), "INT64", REFUSED),
        (pa.array([2.0**53]), "STRING", REFUSED),
        (pa.array([2.0**24], pa.float32()), "INT64", REFUSED),
        (pa.array([2.0**11], pa.float16()), "INT64", REFUSED),
        (pa.array([7.0]), "STRING", "7"),
        (pa.array([Decimal("7.00")]), "STRING", "7"),
        (pa.array([Decimal("0.50")]), "STRING", "0.5"),
        (pa.array([True]), "INT64", REFUSED),
        (pa.array([True]), "STRING", REFUSED),
        (pa.array([b"a1"]), "STRING", "a1"),
        (pa.array([b"\xff"]), "STRING", REFUSED),
        (pa.array([UUID(int=7).bytes], pa.uuid()), "STRING", str(UUID(int=7))),
        (pa.array([NOON]), "STRING", REFUSED),
        (pa.array([NOON.date()]), "STRING", "2026-01-31"),
        (pa.array([NOON]), "INT64", REFUSED),
        (pa.array([[1]]), "INT64", REFUSED),
    ],
    ids=str,
)  # fmt: skip
def test_what_a_typed_value_becomes(values: pa.Array, kind: str, expected: Any) -> None:
    assert set(readings(values, kind).values()) == {expected}


@given(st.lists(WHOLE.filter(lambda n: -(2**63) <= n < 2**63), min_size=1, max_size=8))
def test_a_key_in_redis_has_all_its_digits(numbers: list[int]) -> None:
    for column, kind in ((pa.array(numbers, pa.int64()), "INT64"), (pa.array(list(map(str, numbers))), "STRING")):
        names = encoded_keys("p", {"key": (kind, column)}).to_pylist()
        assert names == [redis_key("p", {"key": (kind, value)}) for value in column.to_pylist()]


def test_ids_beyond_2_53_stay_as_many_as_they_are() -> None:
    """Forty ids of a NUMERIC column: through a float, they became twenty-one."""
    ids = [Decimal(2**53 + n) for n in range(40)]
    columns = LabelColumns({"key": "INT64"}, "at", "won", pa.int64())

    rows = typed_labels({"key": ids, "at": [NOON] * 40, "won": np.zeros(40, int).tolist()}, columns, "here", 0)

    assert rows["key"].to_pylist() == [2**53 + n for n in range(40)]
