"""The join against brute force: ties, duplicates, nulls, TTL edges, time zones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joined_rows import START, VIEW, at, is_gone, stored_table

from twinserve.errors import BadInput
from twinserve.features.offline_store.asof import Join, JoinLimits
from twinserve.features.offline_store.entity_source import entity_rows
from twinserve.features.offline_store.latest_rows import latest_sql
from twinserve.features.offline_store.point_in_time import JoinedView
from twinserve.features.stored_files.deleted_rows import DELETED
from twinserve.features.stored_files.duck import DuckLimits, duck
from twinserve.features.stored_files.feast_arrow import cast_column
from twinserve.features.stored_files.sql import parquet_relation

ZONES = [UTC, timezone(timedelta(hours=5, minutes=45)), timezone(timedelta(hours=-8)), "Europe/Berlin"]
TTL = timedelta(hours=6)
KEYS = st.one_of(st.none(), st.integers(1, 3))
HOURS = st.integers(0, 20)  # few moments and few keys: ties and duplicates are the rule
VALUES = st.one_of(st.none(), st.floats(-5, 5, width=32))

GONE = st.sampled_from([None, None, None, True])
feature_rows = st.lists(
    st.tuples(KEYS, HOURS, st.one_of(st.none(), st.integers(0, 3)), VALUES, VALUES, GONE), max_size=25
)
asking_rows = st.lists(st.tuples(KEYS, HOURS, st.integers(-1, 1)), min_size=1, max_size=25)


def brute_force(features: list[Any], key: int | None, asked: datetime, ttl: timedelta | None) -> tuple[Any, ...]:
    """(a, b, event time or None) of the row that counts, by trying every row."""
    seen = [row for row in features if key is not None and row[0] == key and at(row[1]) <= asked]
    if not seen:
        return (None, None, None)

    def rank(row: Any) -> tuple[Any, ...]:
        return (row[1], -1 if row[2] is None else row[2])

    best = max(reversed(seen), key=rank)  # of equals the one written last
    if is_gone(best):
        return (None, None, None)
    fresh = ttl is None or asked - at(best[1]) <= ttl
    return (*(best[3:5] if fresh else (None, None)), at(best[1]))


def join_of(stored: pa.Table, rows: Any, view: JoinedView, folder: Path, **options: Any) -> Join:
    """A join over one file in `folder`."""
    pq.write_table(stored, folder / "stored.parquet")
    limits = JoinLimits(folder / "tmp", threads=1, piece=options.pop("piece", 7))
    return Join(entity_rows(rows, DuckLimits()), [replace(view, path=folder / "stored.parquet")], limits, **options)


def result_of(join: Join, **options: Any) -> list[tuple[Any, ...]]:
    table = pa.Table.from_batches(join.batches(**options))
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def joined(features: list[Any], entities: list[Any], zone: Any, ttl: timedelta | None) -> list[tuple[Any, ...]]:
    moments = pd.Series([at(hour, edge) for _, hour, edge in entities]).dt.tz_convert(zone)
    asked = pd.DataFrame({"id": pd.array([row[0] for row in entities], "Int64"), "event_timestamp": moments})
    with TemporaryDirectory() as folder:
        join = join_of(stored_table(features), asked, replace(VIEW, ttl=ttl), Path(folder))
        return result_of(join, event_times=True)


@settings(deadline=None)
@given(feature_rows, asking_rows, st.sampled_from(ZONES), st.sampled_from([None, TTL, timedelta(microseconds=1)]))
def test_join_equals_brute_force(features: list[Any], entities: list[Any], zone: Any, ttl: timedelta | None) -> None:
    result = joined(features, entities, zone, ttl)
    assert [row[0] for row in result] == [key for key, _, _ in entities], "every entity row, in order"
    expected = [brute_force(features, key, at(hour, edge), ttl) for key, hour, edge in entities]
    assert [(a, b, made) for _, _, a, b, made in result] == expected


@pytest.mark.parametrize(("edge", "expected"), [(0, 1.0), (1, None), (-1, 1.0)])
def test_a_value_counts_up_to_exactly_its_ttl(edge: int, expected: float | None) -> None:
    hours = int(TTL.total_seconds() // 3600)
    (row,) = joined([(1, 0, None, 1.0, 1.0)], [(1, hours, edge)], UTC, TTL)
    assert row[2] == expected


def test_an_hour_that_the_clocks_skip_or_repeat_counts_as_elapsed_time() -> None:
    # Europe/Berlin has 23 hours on 2024-03-31: six real hours after midnight there it is seven on the wall
    rows = joined([(1, 23, None, 1.0, 1.0)], [(1, 29, 0), (1, 29, 1)], "Europe/Berlin", TTL)
    assert [row[2] for row in rows] == [1.0, None]


def test_composite_string_keys(tmp_path: Path) -> None:
    stored = pa.table({"shop": ["x", "x", "y"], "item": ["1", "2", "1"], "ts": [START] * 3, "price": [1.0, 2.0, 3.0]})
    asked = pd.DataFrame({"shop": ["y", "x", "y"], "item": ["1", "2", "2"], "event_timestamp": [at(1)] * 3})
    keys = {"shop": ("shop", "STRING"), "item": ("item", "STRING")}
    view = JoinedView("v", tmp_path, keys, {"price": "price"}, {"price": pa.float64()}, "ts", None, None)
    assert [row[3] for row in result_of(join_of(stored, asked, view, tmp_path))] == [3.0, 2.0, None]


@contextmanager
def relation_of(*tables: pa.Table) -> Iterator[tuple[Any, str]]:
    """A connection, and what reads these tables as files in this order."""
    with TemporaryDirectory() as folder, duck() as connection:
        files = [str(Path(folder) / f"part-{number}.parquet") for number in range(len(tables))]
        for table, file in zip(tables, files, strict=True):
            pq.write_table(table, file)
        yield connection, parquet_relation(files)


def test_of_rows_that_tie_the_last_of_the_last_file_is_the_latest() -> None:
    """Whatever their values: a smaller one, or none, may be the correction."""
    rows = [(1, 0, 0, value, value) for value in (5.0, 1.0, 3.0, None)]
    for last in (5.0, 1.0, None):
        tables = [stored_table(rows), stored_table([(1, 0, 0, 4.0, 4.0), (1, 0, 0, last, last)])]
        with relation_of(*tables) as (connection, relation):
            sql = latest_sql(relation, {"id": "INT64"}, {"a": "FLOAT", "b": "DOUBLE"}, "ts", "made", "true")
            assert [row[1] for row in connection.execute(sql).fetchall()] == [last]


@settings(deadline=None)
@given(feature_rows)
def test_latest_equals_the_join_asked_after_everything(features: list[Any]) -> None:
    features = [row for row in features if row[0] is not None]
    keys = sorted({row[0] for row in features})
    stored = stored_table(features)
    with relation_of(stored) as (connection, relation):
        marked = DELETED in stored.column_names
        sql = latest_sql(relation, {"id": "INT64"}, {"a": "FLOAT", "b": "DOUBLE"}, "ts", "made", "true", deleted=marked)
        latest = {row[0]: row[1:4] for row in connection.execute(sql).fetchall() if not (marked and row[5])}
    found = {key: brute_force(features, key, at(100), None) for key in keys}
    assert latest == {key: row for key, row in found.items() if row[2]}


def test_a_column_that_is_not_there_is_named() -> None:
    stored = pa.table({"id": [1], "ts": [START]})
    with pytest.raises(BadInput, match="price"), relation_of(stored) as (connection, relation):
        connection.execute(latest_sql(relation, {"id": "INT64"}, {"price": "DOUBLE"}, "ts", None, "true"))


def latest_of(stored: pa.Table, key: str, features: dict[str, str]) -> list[tuple[Any, ...]]:
    with relation_of(stored) as (connection, relation):
        found: list[tuple[Any, ...]] = connection.execute(
            latest_sql(relation, {"id": key}, features, "ts", None, "true")
        ).fetchall()
        return found


def test_columns_that_differ_only_by_case_are_refused() -> None:
    stored = pa.table({"id": [1], "Trips": [1.0], "trips": [2.0], "ts": [START]})
    with pytest.raises(BadInput, match="Trips and trips"):
        latest_of(stored, "INT64", {"Trips": "DOUBLE", "trips": "DOUBLE"})
    assert latest_of(pa.table({"id": [1], "trips": [2.0], "ts": [START]}), "INT64", {"trips": "DOUBLE"})[0][1] == 2.0


WHOLE = [pa.array([1.0, -3.0]), pa.array([1.5, 2.0]), pa.array([float("nan")]), pa.array([2.0**63]), pa.array([5e9])]
WHOLE += [pa.array(["12", None]), pa.array(["1.5"]), pa.array([" 1"]), pa.array([True, False, None])]
WHOLE += [pa.array(["0x10"]), pa.array(["+5"]), pa.array(["٣"]), pa.array([2.0**53]), pa.array([2.0**24], pa.float32())]
WHOLE += [pa.array([-(2.0**53)]), pa.array([2.0**53 - 1]), pa.array([Decimal(2**53 + 1)]), pa.array([str(2**53 + 1)])]
WHOLE += [pa.array([5.0, None], pa.float32())]
WHOLE += [pa.array([Decimal("2.0")]), pa.array([Decimal("1.5")]), pa.array([2**63], pa.uint64()), pa.array([5 * 10**9])]


@pytest.mark.parametrize("values", WHOLE, ids=range(len(WHOLE)))
@pytest.mark.parametrize(("kind", "arrow"), [("INT32", pa.int32()), ("INT64", pa.int64())])
def test_whole_numbers_are_cast_as_the_join_casts_them(values: pa.Array, kind: str, arrow: pa.DataType) -> None:
    stored = pa.table({"id": range(len(values)), "it's": values, "ts": [START] * len(values)})
    try:
        expected = cast_column(values, arrow).to_pylist()
    except ValueError:
        with pytest.raises(BadInput, match=f"column it's is not {kind}: "):
            latest_of(stored, "INT64", {"it's": kind})
    else:
        assert [row[1] for row in sorted(latest_of(stored, "INT64", {"it's": kind}))] == expected


def test_a_key_that_is_not_whole_is_refused_not_rounded_into_another() -> None:
    stored = pa.table({"id": [1.5, 2.0], "a": [1.0, 2.0], "ts": [START] * 2})
    with pytest.raises(BadInput, match=r"column id is not INT64: 1\.5"):
        latest_of(stored, "INT64", {"a": "DOUBLE"})


def test_a_damaged_file_is_named(tmp_path: Any) -> None:
    broken = tmp_path / "part-0.parquet"
    broken.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(BadInput, match=r"part-0\.parquet"), duck() as connection:
        connection.execute(f"SELECT * FROM read_parquet('{broken}')").fetchall()


@pytest.mark.parametrize(
    "values",
    [pa.array([7, None]), pa.array([True]), pa.array(["7.0"]), pa.array([7.0]), pa.array([Decimal("7.00")])],
    ids=lambda values: f"{values.type}",
)
def test_texts_are_cast_as_the_join_casts_them(values: pa.Array) -> None:
    stored = pa.table({"id": range(len(values)), "code": values, "ts": [START] * len(values)})
    try:
        expected = cast_column(values, pa.string()).to_pylist()
    except ValueError:
        with pytest.raises(BadInput, match="column code is not STRING: 7"):
            latest_of(stored, "INT64", {"code": "STRING"})
    else:
        assert [row[1] for row in sorted(latest_of(stored, "INT64", {"code": "STRING"}))] == expected


@settings(deadline=None, max_examples=20)
@given(st.lists(st.decimals(-(10**15), 10**15, places=6), min_size=1, max_size=20))
def test_decimals_are_cast_to_the_nearest_float_by_join_and_materialize(values: list[Decimal]) -> None:
    stored = pa.table(
        {"id": range(len(values)), "price": pa.array(values, pa.decimal128(38, 6)), "ts": [START] * len(values)}
    )
    nearest = [float(value) for value in values]
    assert cast_column(stored["price"], pa.float64()).to_pylist() == nearest
    assert [row[1] for row in sorted(latest_of(stored, "INT64", {"price": "DOUBLE"}))] == nearest
