"""The parts of the join: several views and files, pieces and batches, which files are read, what is refused."""

from __future__ import annotations

import random
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from duckdb import DuckDBPyConnection
from joined_rows import START, VIEW, at, stored_table

from twinserve.errors import BadInput, StepMissing
from twinserve.features.offline_store import asof
from twinserve.features.offline_store.asof import Join, JoinLimits, needed_files, refuse_taken
from twinserve.features.offline_store.entity_source import entity_rows
from twinserve.features.offline_store.latest_rows import latest_sql
from twinserve.features.offline_store.point_in_time import JoinedView
from twinserve.features.stored_files.duck import DuckLimits, duck
from twinserve.features.stored_files.source_files import Span
from twinserve.features.stored_files.sql import parquet_relation

TTL = timedelta(hours=6)


def asked_frame(entities: list[tuple[int, int]], **columns: Any) -> pd.DataFrame:
    times = pd.Series([at(hour) for _, hour in entities], dtype="datetime64[us, UTC]")
    return pd.DataFrame({"id": pd.array([key for key, _ in entities], "Int64"), "event_timestamp": times, **columns})


def join(views: list[JoinedView], rows: Any, folder: Path, piece: int | None = 3, **options: Any) -> Join:
    return Join(entity_rows(rows, DuckLimits()), views, JoinLimits(folder / "tmp", threads=1, piece=piece), **options)


def known(files: list[list[Any]], key: int, hour: int, *, made_known: bool) -> tuple[Any, Any]:
    """Among the rows of all files the last by event time, creation, file and place that counts at that hour."""
    rows = [
        ((row[1], -1 if row[2] is None else row[2], number, place), row[3:])
        for number, file in enumerate(files)
        for place, row in enumerate(file)
        if row[0] == key and row[1] <= hour and not (made_known and (row[2] is None or row[1] + row[2] > hour))
    ]
    (event, *_), (a, b, gone) = max(rows, default=((-9,), (None, None, True)))
    return (a, b) if hour - event <= 5 and not gone else (None, None)


def random_rows(chosen: random.Random, count: int) -> list[Any]:
    """Few keys and few moments: ties and duplicates are the rule."""
    return [
        (
            chosen.choice([1, 2, 3, None]),
            chosen.randint(0, 8),
            chosen.choice([None, 0, 1, 3]),
            chosen.choice([None, float(number)]),
            float(number),
            chosen.random() < 0.1,  # says that the key was deleted
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("seed", [0, 1])
def test_rows_of_several_files_and_those_not_known_yet(seed: int, tmp_path: Path) -> None:
    """One large sample of what the property tests try in many small ones."""
    chosen = random.Random(seed)
    files = [random_rows(chosen, 40) for _ in range(3)]
    (tmp_path / "sales").mkdir()
    for number, rows in enumerate(files):
        pq.write_table(stored_table(rows), tmp_path / "sales" / f"part-{number}.parquet")
    entities = [(chosen.randint(1, 4), chosen.randint(-1, 9)) for _ in range(60)]
    view = replace(VIEW, path=tmp_path / "sales", ttl=timedelta(hours=5))
    for made_known in (False, True):
        whole = join([view], asked_frame(entities), tmp_path, 25, known_at_the_time=made_known)
        found = pa.Table.from_batches(whole.batches())
        expected = [known(files, key, hour, made_known=made_known) for key, hour in entities]
        assert list(zip(found["a"].to_pylist(), found["b"].to_pylist(), strict=True)) == expected
    with duck() as connection:
        relation = parquet_relation([str(file) for file in sorted((tmp_path / "sales").iterdir())])
        sql = latest_sql(
            relation, {"id": "INT64"}, {"a": "FLOAT", "b": "DOUBLE"}, "ts", "made", "id IS NOT NULL", deleted=True
        )
        latest = {row[0]: (None, None) if row[5] else row[1:3] for row in connection.execute(sql).fetchall()}
    assert latest == {key: known(files, key, 8, made_known=False) for key in (1, 2, 3)}


@pytest.fixture
def two_views(tmp_path: Path) -> list[JoinedView]:
    """Values of a shop and its target, the second under other names and with a TTL."""
    pq.write_table(stored_table([(1, 0, None, 1.0, 10.0), (2, 0, None, 2.0, 20.0)]), tmp_path / "one.parquet")
    pq.write_table(stored_table([(2, 1, None, 3.0, None), (1, 9, None, 9.0, 9.0)]), tmp_path / "two.parquet")
    one = replace(VIEW, path=tmp_path / "one.parquet")
    other = replace(VIEW, name="w", path=tmp_path / "two.parquet", keys={"id": ("target", "INT64")}, ttl=TTL)
    return [one, replace(other, features={"w__b": "b", "w__a": "a"})]


def test_views_stand_side_by_side_under_the_names_asked_for(two_views: list[JoinedView], tmp_path: Path) -> None:
    entities = [(1, 1), (2, 7), (3, 8), (1, 20)]
    frame = asked_frame(entities, target=[2, 2, 2, 1], note=["a", "b", "c", "d"])
    table = pa.Table.from_batches(join(two_views, frame, tmp_path).batches(event_times=True))
    assert table.column_names == [
        *("id", "event_timestamp", "target", "note", "a", "b", "v__event_timestamp", "w__b", "w__a"),
        "w__event_timestamp",
    ]
    assert table["note"].to_pylist() == ["a", "b", "c", "d"]
    assert table["a"].to_pylist() == [1.0, 2.0, None, 1.0]
    assert table["w__a"].to_pylist() == [3.0, 3.0, None, None], "the third is an hour too old, the fourth five"
    assert table["w__b"].to_pylist() == [None] * 4
    assert table["w__event_timestamp"].to_pylist() == [at(1), at(1), at(1), at(9)]
    assert table["v__event_timestamp"].to_pylist() == [at(0), at(0), None, at(0)]
    assert table.schema.field("a").type == pa.float32()
    plain = pa.Table.from_batches(join(two_views, frame, tmp_path).batches())
    assert plain.column_names == ["id", "event_timestamp", "target", "note", "a", "b", "w__b", "w__a"]


@pytest.mark.parametrize("piece", [2, None])
def test_pieces_and_batches_of_any_size_give_the_same_rows(
    two_views: list[JoinedView], tmp_path: Path, piece: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = asked_frame([(1 + n % 3, n) for n in range(7)], target=[2] * 7)
    whole = list(join(two_views, frame, tmp_path, None).batches(event_times=True))
    assert [batch.num_rows for batch in whole] == [7]
    parts = list(join(two_views, frame, tmp_path, piece).batches(event_times=True))
    assert pa.Table.from_batches(parts) == pa.Table.from_batches(whole)
    assert [part.num_rows for part in parts] == {2: [2, 2, 2, 1], None: [7]}[piece]
    monkeypatch.setattr(asof, "BATCH_BYTES", 1)
    ones = list(join(two_views, frame, tmp_path, piece).batches(event_times=True))
    assert [one.num_rows for one in ones] == [1] * 7
    assert pa.Table.from_batches(ones) == pa.Table.from_batches(whole)


def test_wide_rows_make_short_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both what is asked with and what is joined counts."""
    monkeypatch.setattr(asof, "BATCH_BYTES", 1000)
    text = pa.table({"id": [1, 2], "ts": [START] * 2, "text": ["x" * 400, None]})
    pq.write_table(text, tmp_path / "text.parquet")
    view = replace(
        VIEW, path=tmp_path / "text.parquet", features={"text": "text"}, types={"text": pa.string()}, created=None
    )
    for key, note, sizes in ((1, "", [2, 2]), (2, "", [4]), (2, "x" * 400, [2, 2])):
        frame = asked_frame([(key, 1)] * 4, note=[note] * 4)
        assert [batch.num_rows for batch in join([view], frame, tmp_path, None).batches()] == sizes


def test_entity_rows_may_be_a_query(two_views: list[JoinedView], tmp_path: Path) -> None:
    pq.write_table(pa.table(asked_frame([(1, 1), (2, 2)], target=2)), tmp_path / "rows.parquet")
    query = f"SELECT * FROM read_parquet('{tmp_path / 'rows.parquet'}') ORDER BY id DESC"
    whole = join(two_views, query, tmp_path)
    table = pa.Table.from_batches(whole.batches())
    assert table["id"].to_pylist() == [2, 1]
    assert table["a"].to_pylist() == [2.0, 1.0]
    assert not (tmp_path / "tmp").exists(), "nothing stays of its workspace"


def test_no_entity_rows_are_one_empty_batch(two_views: list[JoinedView], tmp_path: Path) -> None:
    rows = pa.table(asked_frame([]).assign(target=pd.array([], "Int64"))).replace_schema_metadata({"who": "me"})
    pq.write_table(rows, tmp_path / "rows.parquet")
    (batch,) = join(two_views, tmp_path / "rows.parquet", tmp_path).batches(event_times=True)
    assert (batch.num_rows, batch.schema.metadata) == (0, {b"who": b"me"})
    assert batch.schema.names[3:] == ["a", "b", "v__event_timestamp", "w__b", "w__a", "w__event_timestamp"]


def test_a_view_without_keys_has_one_row_for_all(tmp_path: Path) -> None:
    pq.write_table(stored_table([(1, 0, None, 1.0, 1.0), (2, 2, None, 2.0, 2.0)]), tmp_path / "world.parquet")
    view = replace(VIEW, path=tmp_path / "world.parquet", keys={})
    found = pa.Table.from_batches(join([view], asked_frame([(7, 1), (8, 2), (9, 3)]), tmp_path).batches())
    assert found["a"].to_pylist() == [1.0, 2.0, 2.0]


def test_a_deleted_key_has_neither_features_nor_a_time(tmp_path: Path) -> None:
    rows = [(1, 0, None, 1.0, 1.0), (1, 2, None, 2.0, 2.0, True), (1, 4, None, 3.0, 3.0)]
    pq.write_table(stored_table(rows), tmp_path / "stored.parquet")
    view = replace(VIEW, path=tmp_path / "stored.parquet")
    frame = asked_frame([(1, 1), (1, 3), (2, 3), (1, 5)])
    table = pa.Table.from_batches(join([view], frame, tmp_path, None).batches(event_times=True))
    assert table["a"].to_pylist() == [1.0, None, None, 3.0]
    assert table["v__event_timestamp"].to_pylist() == [at(0), None, None, at(4)]


def test_without_views_the_rows_are_what_they_were(tmp_path: Path) -> None:
    frame = asked_frame([(1, 1), (2, 2)])
    assert pa.Table.from_batches(join([], frame, tmp_path, None).batches()).to_pandas().equals(frame)


@pytest.mark.parametrize("chunks", [[], [[1]], [[1, 2], [3]], [[1], [2], [3]]])
def test_chunks_become_one_array(chunks: list[list[int]]) -> None:
    found = asof._one_array(pa.chunked_array(chunks, pa.int64()))
    assert found.to_pylist() == [number for chunk in chunks for number in chunk]
    assert asof._one_array(found) is found


def test_moments_and_keys_that_can_not_be_used_are_named(two_views: list[JoinedView], tmp_path: Path) -> None:
    frame = asked_frame([(1, 1)] * 5, target=["1", "2", "3", "x", "4"])
    with pytest.raises(BadInput, match=r"^entity rows: a key in column target is no INT64: .*x"):
        list(join(two_views, frame, tmp_path).batches())


def test_a_row_without_a_moment_or_a_key_has_no_features(two_views: list[JoinedView], tmp_path: Path) -> None:
    frame = asked_frame([(1, 1)] * 3, target=2).assign(id=pd.array([1, 1, None], "Int64"))
    frame.loc[1, "event_timestamp"] = pd.NaT
    table = pa.Table.from_batches(join(two_views, frame, tmp_path).batches())
    assert table["a"].to_pylist() == [1.0, None, None]
    assert table["w__a"].to_pylist() == [3.0, None, 3.0]


def test_a_column_that_the_result_needs_is_refused(two_views: list[JoinedView], tmp_path: Path) -> None:
    refuse_taken(["a", "b"], ["c"])
    with pytest.raises(BadInput, match="entity rows have a column a, b, which is a feature's name"):
        refuse_taken(["b", "a", "d"], ["a", "b", "c"])
    frame = asked_frame([(1, 1)], target=1, w__event_timestamp=1)
    with pytest.raises(BadInput, match="a column w__event_timestamp, which"):
        list(join(two_views, frame, tmp_path).batches(event_times=True))
    assert list(join(two_views, frame, tmp_path).batches())


def micros(hour: int) -> int:
    return int(at(hour).timestamp()) * 1_000_000


def test_only_files_that_can_hold_a_match_are_needed(tmp_path: Path) -> None:
    view = replace(VIEW, path=tmp_path, ttl=timedelta(days=2))
    with pytest.raises(StepMissing):
        needed_files(view, None, expired=False)
    for day in ("2024-03-25", "2024-03-27", "2024-03-30", "2024-04-02"):
        file = tmp_path / f"day={day}" / "part-0.parquet"
        file.parent.mkdir()
        pq.write_table(stored_table([]), file)

    def days(asked: Span | None, ttl: timedelta | None = view.ttl, *, expired: bool = False) -> list[str]:
        found = needed_files(replace(view, ttl=ttl), asked, expired=expired)
        return [file.parent.name.removeprefix("day=2024-") for file in found]

    moment = Span(micros(0), micros(1))  # of 2024-03-30
    assert days(moment) == ["03-27", "03-30"]
    assert days(moment, timedelta(hours=1)) == ["03-30"]
    assert days(moment, None) == days(moment, expired=True) == ["03-25", "03-27", "03-30"]
    assert days(None) == days(Span()) == []


def test_a_join_opens_one_connection_within_its_limits(
    two_views: list[JoinedView], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[DuckLimits] = []

    def noted(limits: DuckLimits) -> AbstractContextManager[DuckDBPyConnection]:
        opened.append(limits)
        return duck(limits)

    monkeypatch.setattr(asof, "duck", noted)
    limits = JoinLimits(tmp_path / "tmp", 1 << 30, 1)
    list(Join(entity_rows(asked_frame([(1, 1)], target=1), DuckLimits()), two_views, limits).batches())
    (found,) = opened
    assert found.spill is not None
    assert found == limits.duck(found.spill)
    assert found.spill.parent == limits.temp


def test_limits_of_a_join_are_those_of_its_connection(tmp_path: Path) -> None:
    assert JoinLimits(tmp_path, 5, 2).duck(tmp_path / "x") == DuckLimits(5, tmp_path / "x", 2, ordered=False)
    pieces = [asof._enough_for(rows) for rows in (0, 4 * 262_144, 4 * 262_144 + 7, 10**9)]
    assert pieces == [262_144, 262_144, 262_145, 4_000_000]
    assert {type(rows) for rows in pieces} == {int}


def test_names_with_quotes_and_other_conditions(tmp_path: Path) -> None:
    """Of the rows that the condition lets pass, the latest of each key; one for all without keys."""
    folder = tmp_path / "it's"
    folder.mkdir()
    table = pa.table(
        {'k"': [1, 1, 2, 2], "v'": ["a", "b", "c", "d"], "ts": [at(0), at(1), at(2), None], "n": [1, 2, 3, 4]}
    )
    for number in range(2):
        pq.write_table(table.slice(2 * number, 2), folder / f"part-{number}.parquet")
    relation = parquet_relation([str(folder / f"part-{number}.parquet") for number in range(2)])

    def latest(keys: dict[str, str], features: dict[str, str], where: str) -> list[tuple[Any, ...]]:
        with duck() as connection:
            sql = latest_sql(relation, keys, features, "ts", None, where)
            return sorted(connection.execute(sql).fetchall())

    key, features = {'k"': "INT64"}, {"v'": "STRING"}
    assert [row[:2] for row in latest(key, features, "true")] == [(1, "b"), (2, "c")]
    assert [row[:2] for row in latest(key, features, "n = 1 OR n = 4")] == [(1, "a")]
    assert [row[0] for row in latest({}, features, "true")] == ["c"]
    assert latest({}, features, "n > 3") == []


def test_numbers_are_read_by_latest_as_declared(tmp_path: Path) -> None:
    kinds = {"f": "FLOAT", "d": "DOUBLE", "b": "BOOL", "t": "UNIX_TIMESTAMP", "l": "INT64_LIST"}
    row = {"f": 0.1, "d": 0.1, "b": True, "t": START, "l": [1, 2]}
    pq.write_table(
        pa.table({"id": [1], "ts": [START], **{name: [value] for name, value in row.items()}}), tmp_path / "x"
    )
    with duck() as connection:
        sql = latest_sql(parquet_relation([str(tmp_path / "x")]), {"id": "INT64"}, kinds, "ts", None, "true")
        (found,) = connection.execute(sql).fetchall()
    assert found[1:6] == (float(np.float32(0.1)), 0.1, True, START, [1, 2])


def latest_of(table: pa.Table, keys: dict[str, str], created: str | None, **options: Any) -> list[tuple[Any, ...]]:
    with TemporaryDirectory() as folder, duck() as connection:
        pq.write_table(table, Path(folder) / "rows.parquet")
        relation = parquet_relation([str(Path(folder) / "rows.parquet")])
        sql = latest_sql(relation, keys, {"n": "INT64"}, "ts", created, "true", **options)
        return sorted(connection.execute(sql).fetchall())


def test_latest_rows_of_several_keys_and_how_many_rows_each_has() -> None:
    pairs = [("x", 1), ("x", 2), ("y", 1), ("x", 1), ("y", 1), ("x", 1)]
    table = pa.table(
        {"shop": [shop for shop, _ in pairs], "item": [item for _, item in pairs], "ts": [START] * 6, "n": range(6)}
    )
    keys = {"shop": "STRING", "item": "INT64"}
    found = [("x", 1, 5, START, 3), ("x", 2, 1, START, 1), ("y", 1, 4, START, 2)]
    assert latest_of(table, keys, None, count="rows") == found
    assert latest_of(table, keys, None) == [row[:4] for row in found]


def test_keys_and_times_are_compared_as_declared_not_as_stored() -> None:
    """`01` and `1` are one whole number; a time without a zone is one of UTC."""
    times, made = ([time.replace(tzinfo=None) for time in each] for each in ((at(2), at(1)), (at(2), at(3))))
    table = pa.table({"id": ["1", "01"], "ts": times, "made": made, "n": [1, 2]})
    assert latest_of(table, {"id": "INT64"}, "made") == [(1, 1, at(2), at(2))]
    assert latest_of(table.slice(0, 1), {"id": "INT64"}, "made") == [(1, 1, at(2), at(2))]
