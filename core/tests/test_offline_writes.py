"""What Feast writes to the offline store: pushed rows, logs of what was served, saved datasets."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FeatureService, FeatureStore, PushSource
from feast.data_source import PushMode
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.feature_logging import LoggingConfig
from feast.infra.offline_stores.file_source import FileLoggingDestination, SavedDatasetFileStorage
from feast_stores import OURS, open_feast
from offline_rows import Asked, Row, at, definitions, entity_frame, source, stored, write_rows

from twinserve.errors import BadInput
from twinserve.features.offline import joined_view
from twinserve.features.offline_store.feature_logs import write_logs
from twinserve.features.offline_store.point_in_time import JoinedView
from twinserve.features.offline_store.pushed_rows import FILE_NAME, push_rows
from twinserve.features.offline_store.saved_folder import replace_folder

pytestmark = pytest.mark.integration
FIRST = Row(1, "x", 1, 0, 0, 0, 1.0, 10)


def ids(*asked: tuple[int, int]) -> pd.DataFrame:
    return entity_frame([Asked(key, "x", 1, hour, 0) for key, hour in asked])


def answer(store: FeatureStore, *asked: tuple[int, int]) -> list[Any]:
    result = store.get_historical_features(ids(*asked), ["fresh:b"]).to_df()
    return [None if pd.isna(value) else value for value in result["b"]]


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    write_rows(tmp_path, [FIRST], parts=1)
    objects = definitions(tmp_path)
    fresh = next(each for each in objects if each.name == "fresh")
    fresh.stream_source = pushed = PushSource(name="pushed", batch_source=source(tmp_path))
    return open_feast(tmp_path, OURS, [*objects, pushed])


@pytest.fixture
def fresh(store: FeatureStore) -> JoinedView:
    return joined_view(store.get_feature_view("fresh"), [], full_names=False)


def files_of(view: JoinedView) -> dict[str, bytes]:
    return {
        str(file.relative_to(view.path)): file.read_bytes() for file in sorted(view.path.rglob("*")) if file.is_file()
    }


def test_pushed_rows_are_joined_beside_the_published_ones(store: FeatureStore, fresh: JoinedView) -> None:
    published = files_of(fresh)
    rows = stored([Row(1, "x", 1, 2, 0, 0, 2.0, 20), Row(2, "x", 1, 30, 0, 0, 3.0, 30)]).to_pandas()
    store.push("pushed", rows, to=PushMode.OFFLINE)
    assert answer(store, (1, 3), (1, 1), (2, 31)) == [20, 10, 30]
    after = files_of(fresh)
    assert set(after) - set(published) == {f"day=2024-03-30/{FILE_NAME}", f"day=2024-03-31/{FILE_NAME}"}
    assert published.items() <= after.items(), "what a publishing run writes is left alone"


def test_the_same_push_twice_changes_nothing(fresh: JoinedView) -> None:
    rows = stored([Row(1, "x", 1, 2, 0, 0, 2.0, 20), Row(1, "x", 1, 2, 0, 0, 2.0, 20)])
    assert push_rows(fresh, rows) == 2
    before = files_of(fresh)
    push_rows(fresh, rows)
    assert files_of(fresh) == before
    assert pq.read_table(fresh.path / "day=2024-03-30" / FILE_NAME, partitioning=None).num_rows == 1


@pytest.mark.parametrize("values", [(20, 5), (5, 20), (5, 20, 5)])
def test_what_was_pushed_last_counts_whatever_its_value(
    store: FeatureStore, fresh: JoinedView, values: tuple[int, ...]
) -> None:
    """Of the same keys, event time and created as a published row, and as one pushed before."""
    for value in values:
        push_rows(fresh, stored([FIRST._replace(b=value)]))
    assert answer(store, (1, 1)) == [values[-1]]


def test_nothing_is_lost_when_many_push_at_once(fresh: JoinedView) -> None:
    parts = [stored([Row(key, "x", 1, 1, 0, 0, 1.0, key)]) for key in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda part: push_rows(fresh, part), parts))
    held = pq.read_table(fresh.path / "day=2024-03-30" / FILE_NAME, partitioning=None)
    assert sorted(held["id"].to_pylist()) == list(range(24))


def test_rows_are_pushed_to_a_single_file_too(tmp_path: Path, fresh: JoinedView) -> None:
    single = JoinedView(**{**fresh.__dict__, "path": tmp_path / "one.parquet"})
    for hour in (0, 30):
        push_rows(single, stored([Row(1, "x", 1, hour, 0, 0, 1.0, hour)]).select(["id", "ts", "made", "a", "b"]))
    assert pq.read_table(single.path)["b"].to_pylist() == [0, 30]


def test_columns_in_any_order_take_the_types_of_what_is_there(fresh: JoinedView) -> None:
    rows = stored([Row(1, "x", 1, 2, 0, 0, 2.0, 20)])
    rows = rows.set_column(5, "a", rows["a"].cast(pa.float64())).select(list(reversed(rows.column_names)))
    push_rows(fresh, rows)
    push_rows(fresh, rows)
    pushed = pq.read_schema(fresh.path / "day=2024-03-30" / FILE_NAME)
    assert pushed.field("a").type == pa.float32()


def test_a_file_of_a_narrower_float_than_the_view_has_rounds_no_pushed_value(fresh: JoinedView) -> None:
    push_rows(fresh, stored([Row(1, "x", 1, 2, 0, 0, 2.0, 20)]))
    wider = replace(fresh, types={**fresh.types, "a": pa.float64()})

    def rows(*values: float | None) -> pa.Table:
        many = stored([Row(key, "x", 1, 2, 0, 0, 2.0, 20) for key in range(len(values))])
        return many.set_column(many.column_names.index("a"), "a", pa.array(values, pa.float64()))

    before = files_of(fresh)
    with pytest.raises(BadInput, match=r"pushed-0.parquet: 1 values of type double are no float"):
        push_rows(wider, rows(0.1, 0.5))
    assert files_of(fresh) == before
    push_rows(wider, rows(0.5, None, math.nan, math.inf))
    assert len(pq.read_table(fresh.path / "day=2024-03-30" / FILE_NAME)) == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop_columns(["b"]), "lack b"),
        (lambda t: t.append_column("c", t["b"]), "has no c"),
        (lambda t: t.set_column(3, "ts", pa.nulls(1, pa.timestamp("us"))), "have no ts"),
        (lambda t: t.set_column(0, "id", pa.nulls(1, pa.int64())), "have no id"),
        (lambda t: t.set_column(6, "b", pa.array([1.5])), "b is not int64"),
        (lambda t: t.set_column(6, "b", pa.array(["many"])), "b is not int64"),
    ],
)
def test_rows_that_do_not_fit_are_refused_and_leave_nothing(fresh: JoinedView, change: Any, message: str) -> None:
    before = files_of(fresh)
    with pytest.raises(BadInput, match=message):
        push_rows(fresh, change(stored([FIRST])))
    assert files_of(fresh) == before


def test_columns_and_types_of_a_source_leave_folders_out(store: FeatureStore) -> None:
    view = store.get_feature_view("fresh")
    offline = store._get_provider().offline_store
    found = dict(offline.get_table_column_names_and_types_from_data_source(store.config, view.batch_source))
    assert found == {f.name: str(f.type) for f in stored([FIRST]).schema}
    offline.validate_data_source(store.config, view.batch_source)


def test_validating_a_source_finds_damage(store: FeatureStore, fresh: JoinedView) -> None:
    view = store.get_feature_view("fresh")
    offline = store._get_provider().offline_store
    next(fresh.path.rglob("*.parquet")).write_bytes(b"PAR1 broken")
    with pytest.raises(BadInput, match=r"part-0\.parquet can't be read"):
        offline.validate_data_source(store.config, view.batch_source)


@pytest.mark.parametrize("partition_by", [None, ["fresh__b__status"]])
def test_served_features_are_logged_and_read_back(tmp_path: Path, store: FeatureStore, partition_by: Any) -> None:
    destination = FileLoggingDestination(path=str(tmp_path / "logs"), partition_by=partition_by)
    view = store.get_feature_view("fresh")
    service = FeatureService(
        name="served", features=[view[["b"]]], logging_config=LoggingConfig(destination=destination)
    )
    store.apply([service])
    logs = pa.table(
        {
            "id": [1, 2],
            "fresh__b": [10, None],
            "fresh__b__timestamp": pa.array([at(0), None], pa.timestamp("us", tz="UTC")),
            "fresh__b__status": pa.array([2, 1], pa.int32()),
            "__log_timestamp": pa.array([at(1), at(2)], pa.timestamp("us", tz="UTC")),
            "__log_date": [at(1).date()] * 2,
            "__request_id": ["a", "b"],
        }
    )
    store.write_logged_features(logs, service)
    (tmp_path / "spooled").mkdir()
    other = logs.slice(0, 1).set_column(6, "__request_id", pa.array(["c"]))
    pq.write_table(other, tmp_path / "spooled" / "0.parquet")
    store.write_logged_features(tmp_path / "spooled", service)
    provider = store._get_provider()
    job = provider.retrieve_feature_service_logs(service, at(0), at(3), store.config, store.registry)
    read = job.to_df().sort_values(["__request_id"])
    assert read["__request_id"].tolist() == ["a", "b", "c"]
    assert read["fresh__b__status"].tolist() == [2, 1, 2]
    early = provider.retrieve_feature_service_logs(service, at(0), at(1), store.config, store.registry)
    assert sorted(early.to_df()["__request_id"]) == ["a", "c"]


def test_logs_written_again_are_there_once(tmp_path: Path) -> None:
    logs = pa.table({"x": [1, 2], "status": [1, 1]})
    for _ in range(2):
        write_logs(logs, tmp_path / "whole", [])
        write_logs(logs, tmp_path / "parts", ["status"])
    assert [len(list((tmp_path / name).rglob("*.parquet"))) for name in ("whole", "parts")] == [1, 1]


def test_any_value_can_name_a_partition_and_no_row_is_lost(tmp_path: Path) -> None:
    folder, nan = tmp_path / "logs", float("nan")
    values = ["../../x", "a/b", "..", "", None, "a=b %", "a/b"]
    logs = pa.table({"text": values, "number": [nan, None, 1.5, nan, nan, None, 2.5], "row": range(7)})
    write_logs(logs, folder, ["text", "number"])
    files = list(folder.rglob("*.parquet"))
    assert all(len(file.relative_to(folder).parts) == 3 for file in files)
    read = [row for file in files for row in pq.read_table(file, partitioning=None)["row"].to_pylist()]
    assert sorted(read) == list(range(7))
    assert {path.name for path in tmp_path.iterdir()} == {"logs"}
    assert len(list(folder.glob("text=a%2Fb/number=2.5/*"))) == 1


def test_a_partition_that_logs_do_not_have_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no column day to partition by; they have x"):
        write_logs(pa.table({"x": [1]}), tmp_path, ["day"])


@pytest.mark.parametrize("place", ["saved.parquet", "saved"])
def test_a_saved_dataset_is_written_and_read_back(tmp_path: Path, store: FeatureStore, place: str) -> None:
    storage = SavedDatasetFileStorage(str(tmp_path / place))
    job = store.get_historical_features(ids((1, 1), (9, 2)), ["fresh:b"])
    assert job.metadata is not None
    assert (job.metadata.min_event_timestamp, job.metadata.max_event_timestamp) == (at(1), at(2))
    saved = store.create_saved_dataset(from_=job, name="training", storage=storage)
    assert [None if pd.isna(v) else v for v in saved.to_df()["b"]] == [10, None]
    again = store.get_saved_dataset("training").to_df()
    assert sorted(again["id"]) == [1, 9]
    with pytest.raises(SavedDatasetLocationAlreadyExists):
        store.create_saved_dataset(from_=job, name="training", storage=storage)
    other = store.get_historical_features(ids((1, 1)), ["fresh:b"])
    store.create_saved_dataset(from_=other, name="training", storage=storage, allow_overwrite=True)
    assert len(store.get_saved_dataset("training").to_df()) == 1


def saved(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        pq.write_table(pa.table({"x": [name]}), folder / name)


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    place = tmp_path / "saved"
    saved(place / "day=1", "a.parquet", "b.parquet")
    replace_folder(place, lambda folder: saved(folder, "c.parquet"))
    assert [str(f.relative_to(place)) for f in place.rglob("*")] == ["c.parquet"]
    assert {f.name for f in tmp_path.iterdir()} == {"saved", ".locks"}


def test_a_folder_stays_as_it_was_when_writing_fails(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        saved(folder, "c.parquet")
        raise BadInput("no more")

    saved(tmp_path / "saved", "a.parquet")
    with pytest.raises(BadInput, match="no more"):
        replace_folder(tmp_path / "saved", fail)
    assert [f.name for f in (tmp_path / "saved").iterdir()] == ["a.parquet"]
    assert {f.name for f in tmp_path.iterdir()} == {"saved", ".locks"}


def test_what_a_kill_between_the_renames_left_is_brought_back(tmp_path: Path) -> None:
    saved(tmp_path / ".saved.old", "a.parquet")
    saved(tmp_path / ".saved.draft", "half.parquet")

    def look(folder: Path) -> None:
        assert [f.name for f in (tmp_path / "saved").iterdir()] == ["a.parquet"]
        saved(folder, "c.parquet")

    replace_folder(tmp_path / "saved", look)
    assert [f.name for f in (tmp_path / "saved").iterdir()] == ["c.parquet"]


def test_a_folder_with_other_files_is_not_replaced(tmp_path: Path) -> None:
    saved(tmp_path / "saved", "a.parquet")
    (tmp_path / "saved" / "notes.txt").touch()
    with pytest.raises(BadInput, match=r"notes\.txt is no Parquet"):
        replace_folder(tmp_path / "saved", lambda folder: saved(folder, "c.parquet"))
    assert len(list((tmp_path / "saved").iterdir())) == 2
