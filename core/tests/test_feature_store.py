"""Through Feast's public face: apply, historical features, materialize, online reads."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import redis

from twinserve.contract import Contract, MissingPolicy, Output, Tolerance, build_contract
from twinserve.errors import BadInput, StepMissing, TransientError
from twinserve.features.feast_repo.definitions import load_views
from twinserve.features.feast_repo.service import describe_service
from twinserve.features.feast_repo.store import apply_definitions, feast_connection_string, open_store
from twinserve.features.materialization.materialize import materialize
from twinserve.features.online import open_reader
from twinserve.missing import Status
from twinserve.settings import Settings, load_settings

DEFINITIONS = """\
from datetime import timedelta
from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.types import Bool, Float32, Float64, Int64
from twinserve.features.sources import offline_source

store = Entity(name="store", join_keys=["store_id"], value_type=ValueType.INT64)
sales = FeatureView(
    name="sales", entities=[store], ttl={ttl}, source=offline_source("sales"),
    schema=[Field(name="store_id", dtype=Int64), Field(name="revenue", dtype=Float32),
            Field(name="visits", dtype=Int64), Field(name="open", dtype=Bool)],
)
service = FeatureService(name="store_ranking", features=[sales])
"""
pytestmark = pytest.mark.integration
NOW = datetime.now(UTC).replace(microsecond=0)
Write = Callable[[pd.DataFrame], Path]
Repo = Callable[..., Path]


def sales(rows: list[tuple[int, float, float | None, int | None]]) -> pd.DataFrame:
    """(store, hours ago, revenue, visits) as stored rows."""
    moments = [NOW - timedelta(hours=ago) for _, ago, _, _ in rows]
    return pd.DataFrame(
        {
            "store_id": pd.array([row[0] for row in rows], dtype="Int64"),
            "revenue": pd.array([row[2] for row in rows], dtype="Float32"),
            "visits": pd.array([row[3] for row in rows], dtype="Int64"),
            "open": pd.array([True] * len(rows), dtype="boolean"),
            "event_timestamp": pd.Series(moments, dtype="datetime64[us, UTC]"),
            "created": pd.Series(moments, dtype="datetime64[us, UTC]"),
        }
    )


def contract_of(settings: Settings, url: str) -> Contract:
    return build_contract(
        describe_service(open_store(settings, url), "store_ranking"),
        output=Output(method="predict", target="sold", meaning="sales"),
        missing=MissingPolicy(),
        tolerance=Tolerance(absolute=0, relative=0, why="test"),
        libraries={},
        golden=(),
    )


async def read_online(settings: Settings, url: str, keys: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """(values, status) of our reader, now."""
    reader = open_reader(contract_of(settings, url), settings, url, seconds=5)
    rows = await reader.read({"store_id": keys}, int(datetime.now(UTC).timestamp() * 1e6))
    await reader.close()
    return rows.values, rows.status


def test_definitions_are_read_without_leaving_a_trace(settings: Settings, feature_repo: Repo) -> None:
    feature_repo()
    before = Path.cwd()
    (view,) = load_views(settings)
    assert (view.name, view.join_keys, view.ttl) == ("sales", {"store_id": "INT64"}, timedelta(days=2))
    assert view.features == {"revenue": "FLOAT", "visits": "INT64", "open": "BOOL"}
    assert view.path == settings.offline_store / "sales"
    assert Path.cwd() == before
    feature_repo(ttl=timedelta(days=9))
    assert load_views(settings)[0].ttl == timedelta(days=9), "a changed file is read anew"
    assert {p.name for p in settings.feature_repo.iterdir()} == {"feature_store.yaml", "definitions.py"}


def test_a_relative_home_is_one_folder_for_everybody(
    feature_repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feature_repo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TWINSERVE_HOME", "home")
    (view,) = load_views(load_settings())
    assert view.path == tmp_path / "home" / "offline" / "sales"


def test_a_broken_feature_repo_is_named(settings: Settings, feature_repo: Repo) -> None:
    with pytest.raises(StepMissing, match="TWINSERVE_FEATURE_REPO"):
        load_views(settings)
    feature_repo(definitions="import no_such_module")
    with pytest.raises(BadInput, match="no_such_module"):
        load_views(settings)
    (feature_repo() / "feature_store.yaml").write_text("project: [")
    with pytest.raises(BadInput, match=r"feature_store\.yaml is no YAML"):
        apply_definitions(settings, "redis://127.0.0.1:1/0")


def test_apply_twice_and_remove(settings: Settings, feature_repo: Repo, redis_url: str) -> None:
    feature_repo()
    first = apply_definitions(settings, redis_url)
    assert first == apply_definitions(settings, redis_url)
    assert first["feature_services"] == ["store_ranking"]
    with pytest.raises(StepMissing, match="data-pipeline apply"):
        describe_service(open_store(settings, redis_url), "no_such_service")


def test_history_keeps_every_row_in_order(
    settings: Settings, feature_repo: Repo, write_sales: Write, redis_url: str, tmp_path: Path
) -> None:
    feature_repo()
    apply_definitions(settings, redis_url)
    write_sales(sales([(1, 5, 1.5, 10), (1, 3, 2.5, 20), (2, 100, 9.0, 90), (3, 1, None, 30)]))
    store = open_store(settings, redis_url)
    entity_rows = pd.DataFrame(
        {
            "store_id": [3, 1, 1, 1, 2, 4],
            "event_timestamp": [NOW, NOW, NOW, NOW - timedelta(hours=4), NOW, NOW],
            "x": range(6),
        }
    )
    service = store.get_feature_service("store_ranking")
    result = store.get_historical_features(entity_rows, service).to_df()
    assert list(result["x"]) == [0, 1, 2, 3, 4, 5]
    assert result["visits"].fillna(-1).tolist() == [30, 20, 20, 10, -1, -1], "2 is stale, 4 is unknown"
    assert result["revenue"].fillna(-1).tolist() == [-1, 2.5, 2.5, 1.5, -1, -1]

    asked, target = tmp_path / "asked.parquet", tmp_path / "out.parquet"
    entity_rows.to_parquet(asked)
    from_file = store.get_historical_features(str(asked), service)
    assert from_file.write_parquet(target, event_times=True) == 6
    written = pd.read_parquet(target)
    pd.testing.assert_series_equal(written["visits"], result["visits"], check_dtype=False)
    assert written["sales__event_timestamp"].isna().tolist() == [False] * 5 + [True]

    named = store.get_historical_features(entity_rows, service, full_feature_names=True).to_df()
    assert "sales__visits" in named.columns


def test_history_refuses_what_it_cannot_answer(
    settings: Settings, feature_repo: Repo, write_sales: Write, redis_url: str
) -> None:
    feature_repo()
    apply_definitions(settings, redis_url)
    store = open_store(settings, redis_url)
    service = store.get_feature_service("store_ranking")
    rows = pd.DataFrame({"store_id": [1], "event_timestamp": [NOW]})
    with pytest.raises(StepMissing, match="db_to_offline_store"):
        store.get_historical_features(rows, service).to_df()
    write_sales(sales([(1, 5, 1.5, 10)]))
    with pytest.raises(BadInput, match="no column store_id"):
        store.get_historical_features(rows.drop(columns="store_id"), service)
    with pytest.raises(BadInput, match="visits, which is a feature's name"):
        store.get_historical_features(rows.assign(visits=1), service)


def test_materialize_equals_feasts_own_engine_byte_by_byte(
    settings: Settings, feature_repo: Repo, write_sales: Write, redis_url: str
) -> None:
    feature_repo()
    apply_definitions(settings, redis_url)
    rng = np.random.default_rng(5)
    write_sales(
        sales(
            [
                (int(store), float(ago), None if rng.random() < 0.2 else float(rng.normal()), int(rng.integers(0, 99)))
                for store, ago in zip(rng.integers(-3, 300, 2000), rng.permutation(2000) / 50 + 0.01, strict=True)
            ]
        )
    )
    (ours,) = materialize(settings, redis_url)
    mine = contents(redis_url)
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    open_store(settings, redis_url).materialize(NOW - timedelta(days=60), datetime.now(UTC))
    assert ours.written == len(mine)
    assert mine == contents(redis_url)


def test_a_view_that_cannot_be_written_keeps_no_other_from_it(
    settings: Settings, feature_repo: Repo, write_sales: Write, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    views = "".join(
        f'{name} = FeatureView(name="{name}", entities=[store], source=offline_source("{name}"), '
        'schema=[Field(name="n", dtype=Int64)])\n'
        for name in ("early", "zonal")
    )
    feature_repo(definitions=DEFINITIONS + views)
    apply_definitions(settings, redis_url)
    write_sales(sales([(1, 1, 1.5, 10)]))
    with pytest.raises(StepMissing, match=r"feature view (early|zonal) has no data"):
        materialize(settings, redis_url)
    assert read_with_feast(settings, redis_url, [1]) == [10]
    told = [record.getMessage() for record in caplog.records]
    assert sum("has no data" in line for line in told) == 1, "the other one"
    assert "the other feature views are up to date: sales" in told


def test_nor_does_one_that_feasts_own_engine_cannot_write(
    settings: Settings, feature_repo: Repo, write_sales: Write, redis_url: str
) -> None:
    early = (
        'early = FeatureView(name="early", entities=[store], source=offline_source("early"), offline=True, '
        'schema=[Field(name="n", dtype=Int64)])\n'
    )
    feature_repo(definitions=DEFINITIONS + early)
    apply_definitions(settings, redis_url)
    write_sales(sales([(1, 1, 1.5, 10)]))
    file = settings.offline_store / "early" / "part-0.parquet"
    file.parent.mkdir()
    file.write_bytes(b"no Parquet at all")
    with pytest.raises(BadInput, match="feature view early can't be written by Feast's own engine"):
        materialize(settings, redis_url)
    assert read_with_feast(settings, redis_url, [1]) == [10]


def contents(url: str) -> dict[bytes, dict[bytes, bytes]]:
    """Every feature hash in Redis; what we remember of day files is not one."""
    with redis.Redis.from_url(url) as client:
        return {key: client.hgetall(key) for key in client.scan_iter() if not key.startswith(b"twinserve:")}


def test_materialize_reads_what_changed_and_only_that(
    settings: Settings, feature_repo: Repo, write_sales: Write, redis_url: str
) -> None:
    feature_repo(ttl=timedelta(days=30))
    apply_definitions(settings, redis_url)
    write_sales(sales([(1, 240, 1.0, 1), (1, 120, 2.0, 2), (2, 0, 3.0, 3)]))
    (first,) = materialize(settings, redis_url)
    assert (first.files_read, first.keys, first.written) == (3, 2, 2)
    (second,) = materialize(settings, redis_url, lookback=timedelta(0))
    assert (second.files_read, second.files_unchanged) == (1, 2), "only today's file, which the look-back covers"

    write_sales(sales([(1, 240, 1.0, 1), (9, 241, 7.0, 7)]))  # a row of a silent store, ten days late
    (late,) = materialize(settings, redis_url, lookback=timedelta(0))
    assert late.files_read in (2, 3)
    values = read_with_feast(settings, redis_url, [1, 2, 9])
    assert values == [2, 3, 7], "the late row arrived, and the older row of store 1 replaced nothing"


def read_with_feast(settings: Settings, url: str, keys: list[int]) -> list[int | None]:
    answer = open_store(settings, url).get_online_features(["sales:visits"], [{"store_id": key} for key in keys])
    visits: list[int | None] = answer.to_dict()["visits"]
    return visits


def test_a_correction_of_the_same_moment_reaches_the_online_store(
    settings: Settings, feature_repo: Repo, write_sales: Write, redis_url: str
) -> None:
    feature_repo()
    apply_definitions(settings, redis_url)
    wrong = sales([(1, 1, 1.0, 1)])
    write_sales(wrong)
    materialize(settings, redis_url)
    corrected = sales([(1, 1, 5.0, 5)])
    corrected["created"] += timedelta(minutes=10)
    write_sales(pd.concat([wrong, corrected]))
    materialize(settings, redis_url)
    assert read_with_feast(settings, redis_url, [1]) == [5]


def test_a_file_without_the_key_is_not_left_out_in_silence(
    settings: Settings, feature_repo: Repo, write_sales: Write, redis_url: str
) -> None:
    feature_repo()
    apply_definitions(settings, redis_url)
    write_sales(sales([(1, 50, 1.0, 1)]))
    write_sales(sales([(2, 1, 2.0, 2)]).drop(columns="store_id"))
    with pytest.raises(BadInput, match=r"has no column store_id"):
        materialize(settings, redis_url)
    store = open_store(settings, redis_url)
    with pytest.raises(BadInput, match=r"has no column store_id"):
        store.materialize(NOW - timedelta(days=60), datetime.now(UTC))
    assert contents(redis_url) == {}


def test_a_flushed_redis_is_filled_again(
    settings: Settings, feature_repo: Repo, write_sales: Write, redis_url: str
) -> None:
    feature_repo(ttl=timedelta(days=30))
    apply_definitions(settings, redis_url)
    write_sales(sales([(1, 240, 1.0, 1), (2, 120, 2.0, 2)]))
    materialize(settings, redis_url)
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    (again,) = materialize(settings, redis_url)
    assert again.written == 2


def test_another_type_of_a_feature_is_written_anew(
    settings: Settings, feature_repo: Repo, write_sales: Write, redis_url: str
) -> None:
    feature_repo(ttl=timedelta(days=30), definitions=DEFINITIONS.replace("dtype=Float32", "dtype=Float64"))
    apply_definitions(settings, redis_url)
    write_sales(sales([(1, 240, 0.1, 1)]))
    materialize(settings, redis_url, lookback=timedelta(0))
    feature_repo(ttl=timedelta(days=30))
    apply_definitions(settings, redis_url)
    (again,) = materialize(settings, redis_url, lookback=timedelta(0))
    assert again.written == 1
    answer = open_store(settings, redis_url).get_online_features(["sales:revenue"], [{"store_id": 1}]).to_dict()
    assert answer["revenue"] == [float(np.float32(0.1))]


def test_a_row_ahead_of_the_clock_is_written_when_its_time_has_come(
    settings: Settings, feature_repo: Repo, write_sales: Write, redis_url: str
) -> None:
    feature_repo()
    apply_definitions(settings, redis_url)
    soon = sales([(1, 1, 1.0, 1), (1, 0, 2.0, 2)])
    soon.loc[1, "event_timestamp"] = datetime.now(UTC) + timedelta(seconds=4)
    write_sales(soon)
    materialize(settings, redis_url, lookback=timedelta(days=-2))
    assert read_with_feast(settings, redis_url, [1]) == [1]
    time.sleep(4.5)
    materialize(settings, redis_url, lookback=timedelta(days=-2))
    assert read_with_feast(settings, redis_url, [1]) == [2]


def test_a_locked_registry_is_transient(settings: Settings, feature_repo: Repo, redis_url: str) -> None:
    feature_repo()
    apply_definitions(settings, redis_url)
    with sqlite3.connect(settings.home / "feast" / "registry.db", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TransientError, match="registry database can't be used now: database is locked"):
            apply_definitions(settings, redis_url)
    other.close()


def test_materialize_says_what_is_missing(settings: Settings, feature_repo: Repo, redis_url: str) -> None:
    feature_repo()
    with pytest.raises(StepMissing, match="data-pipeline apply"):
        materialize(settings, redis_url)
    apply_definitions(settings, redis_url)
    with pytest.raises(StepMissing, match="sales has no data"):
        materialize(settings, redis_url)


async def test_online_reads_equal_feasts_and_tell_missing_apart(
    settings: Settings, feature_repo: Repo, write_sales: Write, redis_url: str
) -> None:
    feature_repo()
    apply_definitions(settings, redis_url)
    rng = np.random.default_rng(7)
    rows: list[tuple[int, float, float | None, int | None]] = [
        (key, float(rng.integers(0, 90)) + 0.25, float(rng.normal()), int(rng.integers(-9, 9))) for key in range(200)
    ]
    rows.append((500, 1.0, None, 4))
    write_sales(sales(rows))
    materialize(settings, redis_url)
    keys = [*range(200), 500, -7, 2**63 - 1]
    values, status = await read_online(settings, redis_url, keys)
    asked = [f"sales:{name}" for name in ("revenue", "visits", "open")]
    feast = open_store(settings, redis_url).get_online_features(asked, [{"store_id": key} for key in keys]).to_dict()
    expected = np.array(
        [[np.nan if v is None else float(v) for v in feast[n]] for n in ("revenue", "visits", "open")]
    ).T
    np.testing.assert_array_equal(values, expected)
    assert status[200].tolist() == [Status.NULL, Status.PRESENT, Status.PRESENT]
    assert set(status[201:].ravel()) == {Status.UNKNOWN}
    stale = np.array([ago > 48 for _, ago, _, _ in rows[:200]])
    np.testing.assert_array_equal(status[:200, 1] == Status.STALE, stale)
    assert stale.any()
    assert not stale.all()


async def test_online_says_when_redis_is_gone(settings: Settings, feature_repo: Repo, redis_url: str) -> None:
    feature_repo()
    apply_definitions(settings, redis_url)
    contract = contract_of(settings, redis_url)
    reader = open_reader(contract, settings, "redis://127.0.0.1:1/0", seconds=1)
    with pytest.raises(TransientError, match=r"Redis at 127\.0\.0\.1:1 does not answer: ConnectionRefusedError"):
        await reader.read({"store_id": [1]}, 0)
    await reader.close()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://localhost:6380/3", "localhost:6380,db=3"),
        ("rediss://user:p%40ss@host/0", "host:6379,db=0,username=user,password=p@ss,ssl=true"),
    ],
)
def test_redis_urls_in_feasts_form(url: str, expected: str) -> None:
    assert feast_connection_string(url) == expected


@pytest.mark.parametrize("url", ["http://x", "redis://", "redis://:a,b@host"])
def test_redis_urls_that_feast_cannot_take(url: str) -> None:
    with pytest.raises(BadInput, match="TWINSERVE_REDIS_URL"):
        feast_connection_string(url)


def test_settings_say_where_redis_is(tmp_path: Path) -> None:
    assert load_settings(home=tmp_path).redis_url is None
