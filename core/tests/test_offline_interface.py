"""What Feast's documentation says of historical features and pulls, asked of our offline store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FeatureService, FeatureStore, FeatureView, Field, FileSource, RequestSource
from feast import types as ft
from feast.data_format import DeltaFormat
from feast.on_demand_feature_view import on_demand_feature_view
from feast_stores import OURS, open_feast
from offline_rows import HOUR, START, Asked, Row, at, customer, definitions, entity_frame, stored, view, write_rows

from twinserve.errors import BadInput, StepMissing

pytestmark = pytest.mark.integration
ROWS = [
    Row(1, "x", 1, 0, 0, 0, 1.0, 10),
    Row(1, "x", 1, 4, 0, 0, 2.0, 20),
    Row(2, "y", 1, 0, 0, 0, 3.0, 30),
    Row(2, "y", 1, 30, 0, 0, 4.0, 40),
]
Open = Callable[..., FeatureStore]


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """Opens a store over `ROWS`, with further objects applied."""

    def open_it(*more: Any, rows: list[Row] = ROWS, **options: Any) -> FeatureStore:
        write_rows(tmp_path, rows)
        return open_feast(tmp_path, OURS, [*definitions(tmp_path), *more], **options)

    return open_it


def ids(*asked: tuple[int, int]) -> pd.DataFrame:
    """Entity rows of (customer, hour)."""
    return entity_frame([Asked(key, "x", 1, hour, 0) for key, hour in asked])


def values(result: pd.DataFrame, column: str = "b") -> list[Any]:
    return [None if pd.isna(value) else value for value in result[column]]


def test_point_in_time_join_uses_latest_row_within_ttl(opened: Open) -> None:
    result = opened().get_historical_features(ids((1, 3), (1, 4), (1, 10), (1, 11)), ["fresh:b"]).to_df()
    assert values(result) == [10, 20, 20, None]


def test_features_from_the_future_are_never_joined(opened: Open) -> None:
    assert values(opened().get_historical_features(ids((1, -1), (2, 29)), ["forever:b"]).to_df()) == [None, 30]


def test_ttl_of_zero_means_no_limit(opened: Open) -> None:
    assert values(opened().get_historical_features(ids((1, 10_000)), ["forever:b"]).to_df()) == [20]


def test_full_feature_names_prefix_the_view(opened: Open) -> None:
    store = opened()
    refs = ["fresh:b", "forever:b"]
    result = store.get_historical_features(ids((1, 5)), refs, full_feature_names=True).to_df()
    assert list(result.columns[-2:]) == ["fresh__b", "forever__b"]
    with pytest.raises(Exception, match="b"):
        store.get_historical_features(ids((1, 5)), refs)  # Feast refuses two features of one name


def test_entity_columns_pass_through_in_order_and_type(opened: Open) -> None:
    frame = ids((2, 5), (1, 5)).assign(flag=pd.array([True, None], "boolean"))
    frame["text"], frame["words"] = pd.Series(["a", None]), pd.Series([["a"], []])
    result = opened().get_historical_features(frame, ["fresh:b"]).to_df()
    pd.testing.assert_frame_equal(result[list(frame.columns)], frame)
    assert list(result.columns) == [*frame.columns, "b"]


def test_a_feature_service_is_answered(opened: Open, tmp_path: Path) -> None:
    fresh, world = (v for v in definitions(tmp_path) if getattr(v, "name", "") in ("fresh", "world"))
    store = opened(FeatureService(name="ranking", features=[fresh[["b"]], world[["a"]]]))
    result = store.get_historical_features(ids((1, 5)), store.get_feature_service("ranking")).to_df()
    assert values(result) + values(result, "a") == [20, 2.0]


def test_an_entity_may_have_another_name_in_each_role(opened: Open, tmp_path: Path) -> None:
    fresh = next(v for v in definitions(tmp_path) if v.name == "fresh")
    roles = [fresh.with_name(role).with_join_key_map({"id": f"{role}_id"}) for role in ("buyer", "seller")]
    store = opened(FeatureService(name="trade", features=[role[["b"]] for role in roles]))
    frame = pd.DataFrame({"seller_id": [2, 1], "buyer_id": [1, 2], "event_timestamp": [at(4)] * 2})
    service = store.get_feature_service("trade")
    result = store.get_historical_features(frame, service, full_feature_names=True).to_df()
    assert values(result, "buyer__b") == [20, 30]
    assert values(result, "seller__b") == [30, 20]


def test_columns_may_have_other_names_in_the_source(tmp_path: Path) -> None:
    names = {"customer_no": "id", "happened": "event_time", "written": "created", "wert": "value"}
    rows = stored(ROWS).select(["id", "ts", "made", "b"]).rename_columns(list(names))
    pq.write_table(rows, tmp_path / "rows.parquet")
    mapped = FeatureView(
        name="mapped",
        entities=[customer],
        ttl=6 * HOUR,
        source=FileSource(
            name="mapped",
            path="rows.parquet",  # seen from the feature repo
            timestamp_field="event_time",
            created_timestamp_column="created",
            field_mapping=names,
        ),
        schema=[Field(name="id", dtype=ft.Int64), Field(name="value", dtype=ft.Int64)],
    )
    store = open_feast(tmp_path, OURS, [customer, mapped])
    assert values(store.get_historical_features(ids((1, 4)), ["mapped:value"]).to_df(), "value") == [20]


request_data = RequestSource(name="request", schema=[Field(name="n", dtype=ft.Int64)])


def on_demand(fresh: FeatureView) -> Any:
    @on_demand_feature_view(  # type: ignore[untyped-decorator]
        sources=[fresh, request_data],
        schema=[Field(name="twice", dtype=ft.Float64), Field(name="sum", dtype=ft.Int64)],
        mode="pandas",
    )
    def doubled(frame: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"twice": frame["a"] * 2.0, "sum": (frame["b"] + frame["n"]).astype("Int64")})

    return doubled


@pytest.mark.parametrize("full", [False, True])
def test_on_demand_views_are_applied_batch_by_batch(opened: Open, tmp_path: Path, full: bool) -> None:
    fresh = next(v for v in definitions(tmp_path) if v.name == "fresh")
    store = opened(on_demand(fresh), piece_rows=1)  # the first batch has nulls only
    frame = ids((9, 5), (1, 5), (2, 5))
    job = store.get_historical_features(frame, ["fresh:b", "doubled:twice", "doubled:sum"], full_feature_names=full)
    prefix = "doubled__" if full else ""
    batches = list(job.to_arrow_batches())
    assert [batch.num_rows for batch in batches] == [1, 1, 1]
    streamed = pa.Table.from_batches(batches).to_pandas()
    whole = job.to_df()
    for result in (streamed, whole):
        assert values(result, prefix + "twice") == [None, 4.0, 6.0]
        assert values(result, prefix + "sum") == [None, 21, 32]
    job.write_parquet(tmp_path / "out.parquet")
    assert pq.read_schema(tmp_path / "out.parquet").field(prefix + "sum").type == pa.int64()


def test_an_entity_column_may_bear_the_name_of_an_on_demand_feature_not_asked_for(opened: Open, tmp_path: Path) -> None:
    fresh = next(v for v in definitions(tmp_path) if v.name == "fresh")
    frame = ids((1, 5)).assign(sum="text")
    job = opened(on_demand(fresh)).get_historical_features(frame, ["fresh:b", "doubled:twice"])
    (batch,) = job.to_arrow_batches()
    assert batch["sum"].to_pylist() == ["text"]
    assert batch["twice"].to_pylist() == [4.0]


def test_an_on_demand_value_that_does_not_fit_is_named(opened: Open, tmp_path: Path) -> None:
    fresh = next(v for v in definitions(tmp_path) if v.name == "fresh")

    @on_demand_feature_view(sources=[fresh], schema=[Field(name="half", dtype=ft.Int64)], mode="pandas")  # type: ignore[untyped-decorator]
    def halved(frame: pd.DataFrame) -> pd.DataFrame:
        # what Feast tries it with when it is applied is no 10
        return pd.DataFrame({"half": frame["b"] / 4 if (frame["b"] == 10).any() else frame["b"] // 2})

    job = opened(halved).get_historical_features(ids((1, 1)), ["fresh:b", "halved:half"])
    with pytest.raises(BadInput, match="on-demand feature half is not int64"):
        list(job.to_arrow_batches())


def test_entity_rows_come_as_frame_file_folder_or_query(opened: Open, tmp_path: Path) -> None:
    store, frame = opened(piece_rows=2), ids((2, 5), (1, 5), (1, 3), (9, 1), (1, 5))
    (tmp_path / "asked").mkdir()
    frame[:3].to_parquet(tmp_path / "asked" / "1.parquet", index=False)
    frame[3:].to_parquet(tmp_path / "asked" / "2.parquet", index=False)
    frame.to_parquet(tmp_path / "all.parquet", index=False, row_group_size=2)
    forms = [frame, str(tmp_path / "asked"), str(tmp_path / "all.parquet")]
    forms.append(f"SELECT * FROM '{tmp_path / 'all.parquet'}' -- as it is")
    for form in forms:
        job = store.get_historical_features(form, ["fresh:b"])
        assert values(job.to_df()) == [30, 20, 10, None, 20], form
        assert job.write_parquet(tmp_path / "out.parquet", event_times=True) == 5
        times = pq.read_table(tmp_path / "out.parquet")["fresh__event_timestamp"].to_pylist()
        assert times == [at(0), at(4), at(0), None, at(4)]
    assert "all.parquet" in job.to_sql()


def test_moments_may_be_text_dates_or_without_a_zone(opened: Open) -> None:
    store = opened()
    for moment in ("2024-03-30T05:00:00Z", "2024-03-30 10:45:00+05:45", START.replace(tzinfo=None, hour=5)):
        frame = pd.DataFrame({"id": [1], "event_timestamp": [moment]})
        result = store.get_historical_features(frame, ["fresh:b"]).to_df()
        assert values(result) == [20], moment
    frame = pd.DataFrame({"id": ["1"], "event_timestamp": ["2024-03-30"]})
    assert values(store.get_historical_features(frame, ["fresh:b"]).to_df()) == [10], "a key may be text too"


def test_no_entity_rows_give_no_rows_but_every_column(opened: Open, tmp_path: Path) -> None:
    job = opened().get_historical_features(ids((1, 5))[:0], ["fresh:b", "world:a"])
    result = job.to_arrow()
    assert result.num_rows == 0
    assert result.schema.field("b").type == pa.int64()
    assert result.schema.field("a").type == pa.float32()
    assert job.write_parquet(tmp_path / "none.parquet", event_times=True) == 0


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (ids((1, 5)).drop(columns="id"), "no column id"),
        (ids((1, 5)).assign(b=1), "b, which is a feature's name"),
        (ids((1, 5)).rename(columns={"event_timestamp": "x"}).assign(y=START), "2 columns of times"),
        (ids((1, 5)).astype({"id": "float64"}).assign(id=1.5), "a key in column id is no INT64"),
        (pd.DataFrame({"id": [1], "event_timestamp": ["soon"]}), "Give ISO 8601"),
        ("SELECT 1 AS id, now() AS event_timestamp FROM nowhere", "nowhere"),
        ("SELEKT id FROM rows", "SQL failed"),
        ("/no/such/file.parquet", r"no /no/such/file\.parquet"),
        (17, "come as int"),
    ],
)
def test_what_cannot_be_answered_is_refused(opened: Open, frame: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        opened().get_historical_features(frame, ["fresh:b"]).to_df()


def test_options_that_the_store_does_not_know_are_refused(opened: Open) -> None:
    store = opened()
    with pytest.raises(BadInput, match="sample_size"):
        store._get_provider().get_historical_features(
            store.config, [], [], ids((1, 5)), store.registry, "shop", False, sample_size=3
        )


def test_sources_elsewhere_or_of_another_format_are_refused(tmp_path: Path) -> None:
    for path, form, message in (
        ("s3://bucket/rows", None, "not on this machine"),
        ("rows", DeltaFormat(), "no.* Parquet"),
    ):
        other = FileSource(name="other", path=path, timestamp_field="ts", file_format=form)
        strange = view("strange", tmp_path, [customer], HOUR)
        strange.batch_source = other
        with pytest.raises(BadInput, match=message):
            open_feast(tmp_path, OURS, [customer, strange]).get_historical_features(ids((1, 5)), ["strange:b"])


# --- without entity rows ---------------------------------------------------------------------------------------------


def test_without_entity_rows_every_key_comes_as_of_the_end(opened: Open) -> None:
    store = opened()
    result = store.get_historical_features(features=["fresh:b"], end_date=at(5)).to_df()
    assert list(zip(result["id"], values(result), strict=True)) == [(1, 20), (2, 30)]
    assert set(result["event_timestamp"]) == {at(5)}
    late = store.get_historical_features(features=["fresh:b"], end_date=at(31)).to_df()
    assert list(late["id"]) == [2], "the other key has nothing that is fresh"
    since = store.get_historical_features(features=["forever:b"], start_date=at(20), end_date=at(31)).to_df()
    assert list(zip(since["id"], values(since), strict=True)) == [(2, 40)]
    both = store.get_historical_features(features=["forever:b", "fresh:a"], end_date=at(31)).to_df()
    assert values(both) + values(both, "a") == [20, 40, None, 4.0]


def test_without_entity_rows_views_of_different_keys_are_refused(opened: Open) -> None:
    with pytest.raises(BadInput, match="different keys"):
        opened().get_historical_features(features=["fresh:b", "pair:a"], end_date=at(5))


def test_without_entity_rows_the_answer_is_feasts_own(tmp_path: Path) -> None:
    pq.write_table(stored(ROWS), tmp_path / "rows.parquet")
    objects = definitions(tmp_path)
    for each in objects[3:]:
        each.batch_source.file_options.uri = str(tmp_path / "rows.parquet")
    answers = [
        open_feast(tmp_path, kind, objects).get_historical_features(features=["fresh:b"], end_date=at(5)).to_df()
        for kind in (OURS, "file")
    ]
    frames = [answer[["event_timestamp", "id", "b"]].sort_values("id").reset_index(drop=True) for answer in answers]
    pd.testing.assert_frame_equal(frames[0], frames[1], check_dtype=False)


# --- files that cannot match are not read -----------------------------------------------------------------------------


@pytest.fixture
def opened_files(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of the day folders whose files were opened."""
    seen: set[str] = set()
    real = pq.ParquetFile

    def noted(file: Path, *args: Any, **options: Any) -> Any:
        seen.add(Path(file).parent.name)
        return real(file, *args, **options)

    monkeypatch.setattr(pq, "ParquetFile", noted)
    return seen


def test_day_partitions_that_cannot_match_are_not_read(opened: Open, opened_files: set[str], tmp_path: Path) -> None:
    days = [Row(1, "x", 1, 24 * day, 0, 0, float(day), day) for day in range(20)]
    store = opened(rows=days)
    frame = ids((1, 24 * 10), (1, 24 * 10 + 1))
    assert values(store.get_historical_features(frame, ["fresh:b"]).to_df()) == [10, 10]
    # a day of margin on both sides, the day before for the TTL of six hours
    assert opened_files == {f"day={at(24 * day).date()}" for day in (8, 9, 10, 11)}
    opened_files.clear()
    store.get_historical_features(frame, ["forever:b"]).to_df()
    assert opened_files == {f"day={at(24 * day).date()}" for day in range(12)}, "without a TTL, all up to then"
    opened_files.clear()
    store.get_historical_features(frame, ["fresh:b"]).write_parquet(tmp_path / "out.parquet", event_times=True)
    assert len(opened_files) == 12, "the time of an expired row is wanted"


# --- pulls -----------------------------------------------------------------------------------------------------------


def pull(store: FeatureStore, what: str, *names: Any, **options: Any) -> pd.DataFrame:
    source = store.get_feature_view("fresh").batch_source
    asked = getattr(store._get_provider().offline_store, f"pull_{what}_from_table_or_query")
    result: pd.DataFrame = asked(store.config, source, *names, **options).to_df()
    return result


def test_pull_latest_gives_the_latest_row_of_each_key(opened: Open) -> None:
    store = opened()
    latest = pull(store, "latest", ["id"], ["b"], "ts", "made", at(0), at(10)).sort_values("id")
    assert list(latest["id"]) == [1, 2]
    assert values(latest) == [20, 30]
    assert pull(store, "latest", ["id"], ["b"], "ts", None, at(1), at(10))["b"].tolist() == [20]
    world = pull(store, "latest", [], ["b"], "ts", "made", at(0), at(99))
    assert world["b"].tolist() == [40]
    assert world["__dummy_id"].tolist() == [""], "Feast's key of views without entities"


def test_pull_all_gives_every_row_between_two_moments(opened: Open) -> None:
    store = opened()
    assert sorted(pull(store, "all", ["id"], ["b"], "ts", "made")["b"]) == [10, 20, 30, 40]
    some = pull(store, "all", ["id"], ["b"], "ts", None, start_date=at(0), end_date=at(4))
    assert sorted(some["b"]) == [10, 20, 30], "both ends count"
    assert list(some.columns) == ["id", "b", "ts"]
    assert pull(store, "all", ["id"], ["b"], "ts", start_date=at(50)).empty


def test_pulls_skip_days_out_of_range(opened: Open, tmp_path: Path) -> None:
    store = opened(rows=[Row(1, "x", 1, 24 * day, 0, 0, 1.0, day) for day in range(5)])
    next((tmp_path / "rows").glob("*03-30/*")).write_bytes(b"broken")
    assert pull(store, "latest", ["id"], ["b"], "ts", "made", at(60), at(80))["b"].tolist() == [3]


def test_a_store_without_data_says_what_to_run(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    store = open_feast(tmp_path, OURS, definitions(tmp_path))
    with pytest.raises(StepMissing, match="db_to_offline_store"):
        store.get_historical_features(ids((1, 5)), ["fresh:b"]).to_df()
    with pytest.raises(StepMissing, match="db_to_offline_store"):
        pull(store, "all", ["id"], ["b"], "ts")


def test_memory_and_place_to_spill_are_configured(opened: Open, tmp_path: Path) -> None:
    store = opened(memory_limit="300MB", temp_directory="elsewhere", threads=1)
    job = store.get_historical_features(ids((1, 5)), ["fresh:b"])
    batches = job.to_arrow_batches()
    assert next(batches).num_rows == 1
    assert [p.name.startswith("twinserve-join-") for p in (tmp_path / "elsewhere").iterdir()] == [True]
    batches.close()
    assert not (tmp_path / "elsewhere").exists(), "made for this, and gone with it"
    assert store.config.offline_store.memory_limit == 300_000_000
    with pytest.raises(Exception, match="memory_limit"):
        opened(memory_limit="much").get_historical_features(ids((1, 5)), ["fresh:b"])
