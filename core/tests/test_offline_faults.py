"""The offline store when files are damaged, disks are full, or the process is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FeatureStore
from feast_stores import OURS, open_feast
from hypothesis import given
from hypothesis import strategies as st
from offline_rows import Asked, Row, at, definitions, entity_frame, write_rows
from pydantic import ValidationError

from twinserve.errors import BadInput, StepMissing, TransientError
from twinserve.features.offline import AsofOfflineStoreConfig
from twinserve.features.offline_store.asof import Join, JoinLimits
from twinserve.features.offline_store.entity_source import entity_rows
from twinserve.features.offline_store.parquet_stream import write_batches
from twinserve.features.offline_store.payload import Payload, PayloadWriter
from twinserve.features.offline_store.point_in_time import JoinedView
from twinserve.features.offline_store.row_sizes import cuts, row_sizes
from twinserve.features.offline_store.workspace import workspace
from twinserve.features.stored_files.duck import DuckLimits
from twinserve.steps.progress import RowProgress

pytestmark = pytest.mark.integration
DAYS = [Row(1, "x", 1, 24 * day, 0, 0, float(day), day) for day in range(10)]


def ids(*asked: tuple[int, int]) -> pd.DataFrame:
    return entity_frame([Asked(key, "x", 1, hour, 0) for key, hour in asked])


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    write_rows(tmp_path, DAYS, parts=1)
    return open_feast(tmp_path, OURS, definitions(tmp_path))


def day_file(folder: Path, day: int) -> Path:
    return folder / "rows" / f"day={at(24 * day).date()}" / "part-0.parquet"


def ask(store: FeatureStore, day: int, view: str = "fresh") -> list[Any]:
    result: list[Any] = store.get_historical_features(ids((1, 24 * day + 1)), [f"{view}:b"]).to_arrow()["b"].to_pylist()
    return result


def rewrite(file: Path, change: Any) -> None:
    pq.write_table(change(pq.read_table(file, partitioning=None)), file)


def test_a_truncated_file_does_harm_only_where_it_could_match(store: FeatureStore, tmp_path: Path) -> None:
    file = day_file(tmp_path, 5)
    file.write_bytes(file.read_bytes()[:200])
    assert ask(store, 1) == [1]
    assert ask(store, 9) == [9]
    with pytest.raises(BadInput, match=r"day=2024-04-04/part-0\.parquet can't be read.*Restore or remove"):
        ask(store, 5)


def test_a_damaged_page_is_named_by_its_file(store: FeatureStore, tmp_path: Path) -> None:
    file = day_file(tmp_path, 5)
    content = bytearray(file.read_bytes())
    content[4:120] = b"\xff" * 116  # the footer is whole
    file.write_bytes(content)
    with pytest.raises(BadInput, match=r"day=2024-04-04/part-0\.parquet"):
        ask(store, 5)


def test_a_missing_partition_is_a_day_without_rows(store: FeatureStore, tmp_path: Path) -> None:
    day_file(tmp_path, 5).unlink()
    assert ask(store, 5) == [None]
    assert ask(store, 5, "forever") == [4]


def test_a_file_without_a_key_or_time_is_refused(store: FeatureStore, tmp_path: Path) -> None:
    for column in ("id", "ts", "made"):
        rewrite(day_file(tmp_path, 5), lambda table, name=column: table.drop_columns([name]))
        with pytest.raises(BadInput, match=rf"day=2024-04-04/part-0\.parquet has no column {column}"):
            ask(store, 5)
        write_rows(tmp_path, DAYS, parts=1)


def test_a_feature_that_was_added_later_is_null_before(store: FeatureStore, tmp_path: Path) -> None:
    for day in range(5):
        rewrite(day_file(tmp_path, day), lambda table: table.drop_columns(["b"]))
    assert [ask(store, day) for day in (4, 5)] == [[None], [5]]


def test_so_it_is_where_every_file_that_is_needed_is_from_before(store: FeatureStore, tmp_path: Path) -> None:
    for day in range(9):
        rewrite(day_file(tmp_path, day), lambda table: table.drop_columns(["b"]))
    assert [ask(store, day) for day in (1, 5, 9)] == [[None], [None], [9]]
    view, offline = store.get_feature_view("fresh"), store._get_provider().offline_store
    source, keys = view.batch_source, [entity.name for entity in view.entity_columns]
    for pull in (offline.pull_latest_from_table_or_query, offline.pull_all_from_table_or_query):
        job = pull(store.config, source, keys, ["b"], "ts", "made", start_date=at(0), end_date=at(24 * 4))
        assert set(job.to_arrow()["b"].to_pylist()) == {None}


def test_a_renamed_column_is_told_from_one_added_later(store: FeatureStore, tmp_path: Path) -> None:
    rewrite(
        day_file(tmp_path, 5), lambda table: table.rename_columns([c.replace("b", "bee") for c in table.column_names])
    )
    with pytest.raises(BadInput, match=r"day=2024-04-04.* has no column b but bee.*renamed"):
        ask(store, 5)


def test_a_column_that_no_file_has_is_named(store: FeatureStore, tmp_path: Path) -> None:
    for day in range(10):
        rewrite(day_file(tmp_path, day), lambda table: table.drop_columns(["b"]))
    with pytest.raises(BadInput, match="fresh: no stored file has a column b"):
        ask(store, 5)


def test_another_type_that_fits_is_taken_and_one_that_does_not_is_named(store: FeatureStore, tmp_path: Path) -> None:
    rewrite(day_file(tmp_path, 5), lambda t: t.set_column(6, "b", t["b"].cast(pa.string())))
    assert ask(store, 5) == [5]
    rewrite(day_file(tmp_path, 5), lambda t: t.set_column(6, "b", pa.array(["five"])))
    with pytest.raises(BadInput, match=r"part-0\.parquet: column b is not int64"):
        ask(store, 5)


def test_an_empty_folder_says_what_to_run(store: FeatureStore, tmp_path: Path) -> None:
    for file in (tmp_path / "rows").rglob("*.parquet"):
        file.unlink()
    with pytest.raises(StepMissing, match="db_to_offline_store"):
        ask(store, 5)


def test_damaged_entity_rows_are_named(store: FeatureStore, tmp_path: Path) -> None:
    asked = tmp_path / "asked.parquet"
    ids((1, 5)).to_parquet(asked)
    asked.write_bytes(asked.read_bytes()[:100])
    with pytest.raises(BadInput, match=r"asked\.parquet can't be read"):
        store.get_historical_features(str(asked), ["fresh:b"])
    with pytest.raises(BadInput, match="there are no entity rows in"):
        (tmp_path / "none").mkdir()
        store.get_historical_features(str(tmp_path / "none"), ["fresh:b"])


def test_entity_files_of_different_makes_are_refused(store: FeatureStore, tmp_path: Path) -> None:
    (tmp_path / "asked").mkdir()
    ids((1, 5)).to_parquet(tmp_path / "asked" / "1.parquet")
    ids((1, 5)).assign(more=1).to_parquet(tmp_path / "asked" / "2.parquet")
    with pytest.raises(BadInput, match=r"2\.parquet has other columns or types.*more int64"):
        store.get_historical_features(str(tmp_path / "asked"), ["fresh:b"])


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT CAST('x' || i AS INT) AS id, now() AS event_timestamp FROM range(3) t(i)", "SQL failed: Conversion"),
        ("SELECT error('boom') AS id, now() AS event_timestamp", "SQL failed: .*boom.*Correct it"),
        ("SELECT * FROM '/nowhere/*.parquet'", "SQL failed: .*No files found"),
        ("SELECT nope", "SQL failed: .*nope"),
        ("SELECT 1 AS id, 2 AS id, now() AS event_timestamp", "two columns named id"),
    ],
)
def test_what_is_wrong_with_sql_is_said_of_the_sql(store: FeatureStore, sql: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        store.get_historical_features(sql, ["fresh:b"]).to_arrow()


def test_a_moment_after_the_year_9999_is_refused_whatever_its_unit(store: FeatureStore, tmp_path: Path) -> None:
    moment = pa.array([300_000_000_000], pa.timestamp("s")).cast(pa.timestamp("us", tz="UTC"))
    for kind in (pa.timestamp("us", tz="UTC"), pa.timestamp("ms", tz="UTC")):
        pq.write_table(pa.table({"id": [1], "event_timestamp": moment.cast(kind)}), tmp_path / "late.parquet")
        with pytest.raises(BadInput, match="a moment that is none"):
            store.get_historical_features(str(tmp_path / "late.parquet"), ["fresh:b"]).to_arrow()


# --- disks and processes ---------------------------------------------------------------------------------------------

VIEW = JoinedView("v", Path("?"), {"id": ("id", "INT64")}, {"x": "x"}, {"x": pa.string()}, "ts", None, None)


def big_join(folder: Path, temp: Path, rows: int = 60_000) -> Join:
    """A join whose values take about `rows` kilobytes."""
    text = pa.array([os.urandom(500).hex() for _ in range(200)])
    table = pa.table(
        {
            "id": pa.array(range(rows), pa.int64()),
            "ts": pa.array([at(0)] * rows, pa.timestamp("us", tz="UTC")),
            "x": text.take(pa.array([i % 200 for i in range(rows)])),
        }
    )
    pq.write_table(table, folder / "big.parquet")
    asked = pd.DataFrame({"id": range(rows), "event_timestamp": [at(1)] * rows})
    view = JoinedView(**{**VIEW.__dict__, "path": folder / "big.parquet"})
    return Join(entity_rows(asked, DuckLimits()), [view], JoinLimits(temp, threads=1, piece=10_000))


def test_a_full_disk_for_temporary_files_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(TransientError, match=rf"no space left in {tmp_path}.*temp_directory"),
        workspace(tmp_path) as work,
    ):
        (work / "v0.arrow").symlink_to("/dev/full")
        with PayloadWriter(pa.schema([("a", pa.int64())]), work / "v0.arrow", in_memory=1) as writer:
            writer.add(pa.table({"a": range(100_000)}))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_for_the_result_is_told(tmp_path: Path) -> None:
    target, batch = tmp_path / "out.parquet", pa.RecordBatch.from_pydict({"x": [os.urandom(100_000)]})

    def batches() -> Generator[pa.RecordBatch]:
        (draft,) = tmp_path.glob(".out.parquet.*")
        draft.unlink()
        draft.symlink_to("/dev/full")
        yield from [batch] * 50

    with (
        RowProgress("test", None) as progress,
        pytest.raises(TransientError, match=r"no space left to write .*out\.parq"),
    ):
        write_batches(batches(), target, progress)
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_rows_ends_the_writing(tmp_path: Path) -> None:
    def batches() -> Generator[pa.RecordBatch]:
        yield pa.RecordBatch.from_pydict({"x": [1]})
        raise BadInput("no more")

    with RowProgress("test", None) as progress, pytest.raises(BadInput, match="no more"):
        write_batches(batches(), tmp_path / "out.parquet", progress)
    assert list(tmp_path.iterdir()) == []


def test_values_too_large_for_memory_go_to_a_file(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("twinserve.features.offline_store.payload.PIECE", 1 << 20)
    join = big_join(tmp_path, tmp_path / "tmp", 20_000)
    expected = pa.Table.from_batches(join.batches())
    monkeypatch.setattr("twinserve.features.offline_store.payload.PayloadWriter.__init__.__defaults__", (1,))
    batches = join.batches()
    first = next(batches)
    (work,) = (tmp_path / "tmp").glob("*")
    assert (work / "v0.arrow").stat().st_size > 10 << 20
    assert pa.Table.from_batches([first, *batches]).equals(expected)
    assert list((tmp_path / "tmp").glob("*")) == []


@pytest.mark.parametrize("nested", [False, True])
def test_more_than_two_gib_of_one_value_come_in_batches_that_can_hold_them(tmp_path: Path, nested: bool) -> None:
    text, rows = "x" * 100_000, 22_000
    value = pa.array([[text[:50_000]] * 2] if nested else [text])
    stored = pa.table({"id": [1], "ts": pa.array([at(0)], pa.timestamp("us", tz="UTC")), "x": value})
    pq.write_table(stored, tmp_path / "wide.parquet")
    view = JoinedView(**{**VIEW.__dict__, "path": tmp_path / "wide.parquet", "types": {"x": value.type}})
    asked = pd.DataFrame({"id": [1] * rows, "event_timestamp": [at(1)] * rows, "row": range(rows)})
    seen = 0
    for batch in Join(entity_rows(asked, DuckLimits()), [view], JoinLimits(tmp_path / "tmp")).batches():
        assert batch["x"].nbytes <= 257 << 20
        assert batch["row"].to_pylist() == list(range(seen, seen + batch.num_rows))
        assert batch["x"][-1:].equals(value)
        seen += batch.num_rows
    assert seen == rows


@given(st.lists(st.integers(0, 12), max_size=30), st.integers(1, 20))
def test_cuts_cover_every_row_once_and_keep_the_limit(sizes: list[int], most: int) -> None:
    parts = list(cuts(np.array(sizes, np.int64), most))
    assert [row for first, end in parts for row in range(first, end)] == list(range(len(sizes)))
    for first, end in parts:
        assert sum(sizes[first:end]) <= most or end == first + 1


def test_rows_are_measured_in_nested_and_sliced_columns_too() -> None:
    columns = [
        pa.array(["", None, "abc", "de"]),
        pa.array([[1, 2], None, [], [3]], pa.list_(pa.int64())),
        pa.array([["ab", "c"], [None], [], None], pa.list_(pa.string())),
        pa.array([["ab", "c"], ["", "d"], ["", ""], None], pa.list_(pa.string(), 2)),
        pa.array([{"s": "xy"}, None, {"s": None}, {"s": "z"}], pa.struct([("s", pa.string())])),
        pa.array([1, 2, 3, None], pa.int32()),
    ]
    expected = [[0, 0, 3, 2], [16, 0, 0, 8], [3, 0, 0, 0], [3, 1, 0, 0], [3, 1, 1, 2], [4, 4, 4, 4]]
    for column, sizes in zip(columns, expected, strict=True):
        batch = pa.record_batch([column], names=["x"])
        assert row_sizes(batch).tolist() == sizes
        assert row_sizes(batch.slice(1, 2)).tolist() == sizes[1:3]


def test_pieces_are_never_larger_than_asked_for(tmp_path: Path) -> None:
    join = replace(big_join(tmp_path, tmp_path / "tmp", 2_000), limits=JoinLimits(tmp_path / "tmp", piece=100))
    assert {batch.num_rows for batch in join.batches()} == {100}


def test_pieces_in_a_file_are_taken_like_those_in_memory(tmp_path: Path) -> None:
    schema = pa.schema([("a", pa.int64()), ("b", pa.list_(pa.string()))])
    payloads: list[Payload] = []
    for limit in (1 << 30, 1):
        with PayloadWriter(schema, tmp_path / f"{limit}.arrow", in_memory=limit) as writer:
            for first in range(0, 50, 10):
                numbers = list(range(first, first + 10))
                writer.add(pa.table({"a": numbers, "b": [[str(n)] for n in numbers]}, schema))
            payloads.append(writer.finish())
    rows = np.array([49, -1, 0, 0, 31, 10, 9, -1])
    one, other = (payload.take(rows) for payload in payloads)
    assert [pa.chunked_array([c]).to_pylist() if isinstance(c, pa.Array) else c.to_pylist() for c in one] == [
        c.to_pylist() for c in other
    ]
    assert other[0].to_pylist() == [49, None, 0, 0, 31, 10, 9, None]


def test_a_workspace_of_the_dead_is_removed_and_one_of_the_living_kept(tmp_path: Path) -> None:
    dead = tmp_path / "twinserve-join-dead"
    dead.mkdir()
    (dead / "lock").touch()
    (dead / "v0.arrow").write_bytes(b"x")
    with workspace(tmp_path) as first:
        assert not dead.exists()
        with workspace(tmp_path) as second:
            assert first.exists()
            assert first != second
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["twinserve-join-dead", ".twinserve-join-dead"])
@pytest.mark.parametrize("lock", [False, True])
def test_a_workspace_killed_while_it_was_made_is_removed(tmp_path: Path, name: str, lock: bool) -> None:
    (tmp_path / name).mkdir()
    if lock:
        (tmp_path / name / "lock").touch()
    with workspace(tmp_path) as work:
        assert list(tmp_path.iterdir()) == [work]


def test_many_workspaces_come_and_go_with_their_parent(tmp_path: Path) -> None:
    def use(_: int) -> bool:
        with workspace(tmp_path / "tmp") as work:
            (work / "file").touch()
            return work.is_dir()

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(use, range(3000)))


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="temp_directory"), workspace(tmp_path / "file" / "tmp"):
        pass


SLOW_JOIN = """
    import sys, time
    from datetime import UTC, datetime
    from pathlib import Path
    import pandas as pd, pyarrow as pa
    from twinserve.features.offline_store.asof import Join, JoinLimits
    from twinserve.features.stored_files.duck import DuckLimits
    from twinserve.features.offline_store.entity_source import entity_rows
    from twinserve.features.offline_store.point_in_time import JoinedView
    from twinserve.features.offline_store.retrieval_job import AsofRetrievalJob

    folder = Path(sys.argv[1])
    asked = pd.DataFrame({"id": range(2000), "event_timestamp": [datetime(2024, 4, 1, tzinfo=UTC)] * 2000})
    view = JoinedView("v", folder / "rows", {"id": ("id", "INT64")}, {"b": "b"}, {"b": pa.int64()}, "ts", None, None)
    job = AsofRetrievalJob(Join(entity_rows(asked, DuckLimits()), [view], JoinLimits(folder / "tmp", piece=1)))
    batches = job.to_arrow_batches()
    def slowed():
        for batch in batches:
            time.sleep(float(sys.argv[2]))
            yield batch
    job.to_arrow_batches = lambda **options: slowed()
    print("ready", flush=True)
    print(job.write_parquet(folder / "out.parquet"), flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_join_that_is_ended_leaves_no_result_and_the_next_one_is_clean(tmp_path: Path, number: int) -> None:
    write_rows(tmp_path, DAYS)
    script = tmp_path / "join.py"
    script.write_text(textwrap.dedent(SLOW_JOIN))
    child = subprocess.Popen([sys.executable, script, tmp_path, "0.01"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for(lambda: list(tmp_path.glob(".out.parquet.*.tmp")))
    child.send_signal(number)
    child.communicate(timeout=60)
    assert child.returncode != 0
    assert not (tmp_path / "out.parquet").exists()
    if number == signal.SIGINT:
        assert not list((tmp_path / "tmp").glob("*")), "Ctrl-C cleans up"
        assert not list(tmp_path.glob(".out.parquet.*"))
    again = subprocess.run([sys.executable, script, tmp_path, "0"], check=True, capture_output=True, text=True)
    assert again.stdout.split() == ["ready", "2000"]
    assert pq.read_metadata(tmp_path / "out.parquet").num_rows == 2000
    assert not list(tmp_path.glob(".out.parquet.*"))
    assert not list((tmp_path / "tmp").glob("*")), "what a SIGKILL left is gone too"


def wait_for(condition: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


@pytest.mark.parametrize("limit", ["50%", "1MB", "lots", 0])
def test_a_memory_limit_that_cannot_be_kept_is_refused(limit: str | int) -> None:
    with pytest.raises(ValidationError, match="memory_limit"):
        AsofOfflineStoreConfig.model_validate({"memory_limit": limit})


def test_a_folder_to_spill_to_that_cannot_be_made_is_named() -> None:
    with pytest.raises(BadInput, match="/proc/none can't be made"), workspace(Path("/proc/none")):
        pass
