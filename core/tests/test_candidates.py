"""The rows that the join can choose from, against a model of a few lines; one connection for all."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from joined_rows import VIEW, at, stored_table

from twinserve.errors import BadInput
from twinserve.features.offline_store import candidates
from twinserve.features.offline_store.candidates import Candidates, Ties, read_candidates
from twinserve.features.offline_store.payload import PayloadWriter
from twinserve.features.offline_store.point_in_time import JoinedView
from twinserve.features.stored_files.duck import DuckLimits, duck

NO_ROW = -1


@pytest.fixture(scope="module")
def shared() -> Iterator[duckdb.DuckDBPyConnection]:
    with duck(DuckLimits(threads=1)) as connection:
        yield connection


@pytest.fixture
def connection(shared: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """Without the tables of the test before."""
    yield shared
    for (table,) in shared.execute("SELECT table_name FROM duckdb_tables()").fetchall():
        shared.execute(f'DROP TABLE "{table}"')


def written(folder: Path, *tables: pa.Table) -> list[Path]:
    files = [folder / f"part-{number}.parquet" for number in range(len(tables))]
    for table, file in zip(tables, files, strict=True):
        pq.write_table(table, file)
    return files


def micros(hour: int) -> int:
    return int(at(hour).timestamp()) * 1_000_000


def read(
    connection: duckdb.DuckDBPyConnection, view: JoinedView, files: list[Path], **options: Any
) -> tuple[Candidates, list[tuple[Any, ...]]]:
    folder = files[0].parent if files else Path()
    found = read_candidates(connection, replace(view, path=folder), files, "v0", folder, **options)
    names = [f"k{i}" for i in range(max(len(view.keys), 1))]
    rows = connection.execute(f"SELECT {', '.join(names)}, since, event, fid FROM {found.table}").fetchall()
    return found, sorted(rows)


def random_rows(chosen: random.Random, count: int, *, deleted: bool) -> list[Any]:
    """Few keys and few moments: ties and duplicates are the rule."""
    return [
        (
            chosen.choice([1, 2, None]),
            chosen.randint(0, 5),
            chosen.choice([None, -2, 0, 1, 3]),
            chosen.choice([None, float(number)]),
            float(number),
            deleted and chosen.random() < 0.2,
        )
        for number in range(count)
    ]


def last_written(rows: list[Any], group: Any) -> list[Any]:
    """Of each group the last created, of those the one written last. A row: key, event, made, number, whether gone."""
    ordered = sorted(rows, key=lambda row: (group(row), row[2] is not None, row[2] or 0, row[3]))
    return [list(each)[-1] for _, each in groupby(ordered, group)]


def latest(rows: list[Any]) -> list[tuple[Any, ...]]:
    kept = last_written(rows, lambda row: row[:2])
    return sorted((key, event, event, NO_ROW if gone else number) for key, event, _, number, gone in kept)


def known(rows: list[Any]) -> list[tuple[Any, ...]]:
    kept = last_written([row for row in rows if row[2] is not None], lambda row: row[:3])
    found = set()
    for key, event, made, *_ in kept:
        since = max(event, made)
        there = [row for row in kept if row[0] == key and max(row[1], row[2]) <= since]
        best = max(there, key=lambda row: (row[1], row[2], NO_ROW if row[4] else row[3]))
        found.add((key, since, best[1], NO_ROW if best[4] else best[3]))
    return sorted(found)


@pytest.mark.parametrize("deleted", [False, True])
@pytest.mark.parametrize("at_the_time", [False, True])
def test_of_rows_that_tie_the_last_one_counts(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, deleted: bool, at_the_time: bool
) -> None:
    chosen = random.Random(7)
    parts = [random_rows(chosen, 60, deleted=deleted and file != 1) for file in range(3)]
    files = written(tmp_path, *map(stored_table, parts))
    rows = [
        (key, micros(hour), None if lag is None else micros(hour + lag), number, gone)
        for number, (key, hour, lag, _, _, gone) in enumerate(row for part in parts for row in part)
        if key is not None
    ]
    found, held = read(connection, VIEW, files, known_at_the_time=at_the_time)
    assert held == (known(rows) if at_the_time else latest(rows))
    assert (found.table, found.rows) == ("v0", 180)
    values = [(row[3], row[4]) for part in parts for row in part]
    fids = pa.array([*(row[-1] for row in held), NO_ROW]).to_numpy()
    taken = zip(*(column.to_pylist() for column in found.payload.take(fids)), strict=True)
    assert list(taken) == [values[fid] if fid >= 0 else (None, None) for fid in fids]
    assert found.payload.schema == pa.schema([("a", pa.float32()), ("b", pa.float64())])
    assert connection.execute("SELECT table_name FROM duckdb_tables() WHERE table_name LIKE 'v0%'").fetchall() == [
        ("v0",)
    ], "what it was made of is dropped"


def test_without_ties_nothing_is_settled(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    files = written(tmp_path, stored_table([(1, 0, None, 1.0, 1.0), (1, 1, 0, 2.0, 2.0), (2, 0, 0, 3.0, 3.0)]))
    _, held = read(connection, VIEW, files)
    assert held == [(1, micros(0), micros(0), 0), (1, micros(1), micros(1), 1), (2, micros(0), micros(0), 2)]


def test_a_view_without_created_is_known_from_its_event_time_on(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    view = replace(VIEW, created=None)
    files = written(tmp_path, stored_table([(1, 0, 9, 1.0, 1.0), (1, 0, 3, 2.0, 2.0)]))
    _, held = read(connection, view, files, known_at_the_time=True)
    assert held == [(1, micros(0), micros(0), 1)]


def test_several_keys_are_read_in_the_types_in_which_keys_are_compared(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    keys = {"shop": ("at", "STRING"), "item": ("what", "INT32"), "flag": ("flag", "BOOL")}
    view = replace(VIEW, keys=keys, created=None, features={"price": "a"}, types={"a": None})
    table = pa.table(
        {
            "shop": ["x", "x", None, "y", "x"],
            "item": pa.array([1, None, 1, 2, 1], pa.int32()),
            "flag": [True, True, True, False, True],
            "ts": [at(0), at(0), at(0), at(1), None],
            "a": ["p", "q", "r", "s", "t"],
        }
    )
    found, held = read(connection, view, written(tmp_path, table))
    assert held == [("x", 1, True, micros(0), micros(0), 0), ("y", 2, False, micros(1), micros(1), 3)]
    types = dict(connection.execute("SELECT column_name, data_type FROM duckdb_columns()").fetchall())
    assert (types["k1"], types["k2"], types["event"]) == ("BIGINT", "BOOLEAN", "BIGINT")
    assert found.payload.schema == pa.schema([("a", pa.string())])


def test_a_view_without_keys_has_one_for_all(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    files = written(tmp_path, stored_table([(1, 0, 0, 1.0, 1.0), (None, 0, 1, 2.0, 2.0), (2, 1, 0, 3.0, 3.0)]))
    _, held = read(connection, replace(VIEW, keys={}), files)
    assert held == [(0, micros(0), micros(0), 1), (0, micros(1), micros(1), 2)]


def test_without_files_there_are_no_rows(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    found, held = read(connection, VIEW, [])
    assert (held, found.rows) == ([], 0)


def test_of_several_keys_each_counts_for_what_is_known(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    keys = {"shop": ("shop", "INT64"), "item": ("item", "INT64")}
    table = stored_table([(1, 0, 3, 1.0, 1.0), (1, 1, 0, 2.0, 2.0), (2, 2, 0, 3.0, 3.0)]).rename_columns({"id": "shop"})
    table = table.append_column("item", pa.array([1, 2, 2]))
    _, held = read(connection, replace(VIEW, keys=keys), written(tmp_path, table), known_at_the_time=True)
    assert held == [(1, 1, micros(3), micros(0), 0), (1, 2, micros(1), micros(1), 1), (2, 2, micros(2), micros(2), 2)]


@pytest.mark.parametrize("unit", ["s", "ms", "ns"])
def test_times_of_any_unit_are_microseconds(connection: duckdb.DuckDBPyConnection, tmp_path: Path, unit: str) -> None:
    table = stored_table([(1, 0, 3, 1.0, 1.0), (1, 2, 0, 1.0, 1.0)])
    for column in ("ts", "made"):
        place = table.schema.names.index(column)
        table = table.set_column(place, column, table[column].cast(pa.timestamp(unit, "UTC")))
    _, held = read(connection, VIEW, written(tmp_path, table), known_at_the_time=True)
    assert held == [(1, micros(2), micros(2), 1), (1, micros(3), micros(2), 1)]


@pytest.mark.parametrize(("column", "kind"), [("id", "INT64"), ("ts", "a time"), ("made", "a time")])
def test_a_key_or_time_that_is_none_is_named_with_its_file(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, column: str, kind: str
) -> None:
    good = stored_table([(1, 0, 0, 1.0, 1.0)])
    bad = good.set_column(good.schema.names.index(column), column, pa.array(["tomorrow"]))
    with pytest.raises(BadInput, match=rf"part-1\.parquet: column {column} is not {kind}: .*tomorrow"):
        read(connection, VIEW, written(tmp_path, good, bad))


def test_a_file_without_a_needed_column_is_named(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    good = stored_table([(1, 0, 0, 1.0, 1.0)])
    for column in ("id", "ts", "made"):
        with pytest.raises(BadInput, match=rf"part-1\.parquet has no column {column}; it has"):
            read(connection, VIEW, written(tmp_path, good, good.drop_columns([column])))


def test_a_feature_that_no_file_has_is_named_with_its_view(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    files = written(tmp_path, stored_table([(1, 0, 0, 1.0, 1.0)]).drop_columns(["b"]))
    with pytest.raises(BadInput, match="feature view v: no stored file has a column b"):
        read(connection, VIEW, files)


def test_values_too_large_for_memory_lie_in_the_folder(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "PayloadWriter", partial(PayloadWriter, in_memory=0))
    found, _ = read(connection, VIEW, written(tmp_path, *(stored_table([(1, n, 0, float(n), 0.5)]) for n in range(3))))
    assert (tmp_path / "v0.arrow").is_file()
    values = found.payload.take(pa.array([2, 0, NO_ROW]).to_numpy())
    assert [column.to_pylist() for column in values] == [[2.0, 0.0, None], [0.5, 0.5, None]]


def test_ties_are_settled_by_creation_then_by_number(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("CREATE TABLE t (k INT, event INT, made INT, fid INT)")
    connection.execute("INSERT INTO t VALUES (1, 0, 5, 0), (1, 0, 3, 1), (2, 0, NULL, 2), (2, 0, 0, 3), (3, 0, 1, 4)")
    ties = Ties(connection, "t", ["k", "event"])
    assert ties.found() is True
    ties.settle()
    assert connection.execute("SELECT fid FROM t ORDER BY fid").fetchall() == [(0,), (3,), (4,)]
    assert ties.found() is False
    assert Ties(connection, "t", ["event"]).found() is True
