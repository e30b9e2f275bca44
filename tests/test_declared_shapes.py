"""Every legal shape of Feast's definitions, from a source file to both stores, against Feast's own reading of it.

Feast's own reading: the same definitions applied by Feast alone over the stored rows, its file store for the join, its
local engine for materialize. What Redis holds is compared byte by byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import redis
from feast import FeatureStore
from feast.repo_config import RepoConfig
from feast.repo_operations import parse_repo
from small_feature_repo import write_feature_repo

from data_pipeline.clean import clean
from data_pipeline.ingest import ingest
from data_pipeline.reading.locate import locate
from data_pipeline.step_context import Workplace
from data_pipeline.validate import explore_and_validate
from twinserve.embedded.redis import leased_redis
from twinserve.errors import BadInput
from twinserve.features.feast_repo.definitions import _imported_from, load_definitions, load_views
from twinserve.features.feast_repo.store import apply_definitions, open_store, store_config
from twinserve.features.materialization.materialize import materialize
from twinserve.features.sources import definitions_for
from twinserve.settings import Settings, load_settings

pytestmark = pytest.mark.integration
NOW = datetime.now(UTC).replace(microsecond=0)
HEAD = """\
from datetime import timedelta
from feast import BatchFeatureView, Entity, FeatureService, FeatureView, Field, FileSource, PushSource, ValueType
from feast.types import Bool, Float32, Float64, Int32, Int64, String, UnixTimestamp
from twinserve.features.sources import offline_source
DAY = timedelta(days=1)
"""
DRIVER = 'driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)\n'
UNTYPED = 'driver = Entity(name="driver", join_keys=["driver_id"])\n'
TOWN = 'town = Entity(name="town", value_type=ValueType.STRING)\n'
SCHEMA = 'schema=[Field(name="rate", dtype=Float32), Field(name="trips", dtype=Int64)]'
LISTED = SCHEMA.replace("[", '[Field(name="driver_id", dtype=Int64), ')
SERVICE = 'service = FeatureService(name="ranking", features=[stats])\n'


def stats(arguments: str, kind: str = "FeatureView") -> str:
    return f'stats = {kind}(name="stats", online=True, {arguments})\n'


SOURCE = 'source=offline_source("stats")'
MAPPED = 'source=offline_source("stats", field_mapping={"event": "event_timestamp", "no": "driver_id", "r": "rate"})'
ROLES = """\
roles = [stats.with_name(role).with_join_key_map({"driver_id": f"{role}_id"}) for role in ("first", "second")]
service = FeatureService(name="ranking", features=[role[["rate"]] for role in roles])
"""
ALL_TYPES = """schema=[
    Field(name="i32", dtype=Int32), Field(name="f64", dtype=Float64), Field(name="text", dtype=String),
    Field(name="flag", dtype=Bool), Field(name="moment", dtype=UnixTimestamp), Field(name="rate", dtype=Float32)]"""
SHAPES = {
    "the entity alone names the key": DRIVER + stats(f"entities=[driver], ttl=DAY, {SOURCE}, {SCHEMA}") + SERVICE,
    "the schema alone has its type": UNTYPED + stats(f"entities=[driver], ttl=DAY, {SOURCE}, {LISTED}") + SERVICE,
    "both name it": DRIVER + stats(f"entities=[driver], ttl=DAY, {SOURCE}, {LISTED}") + SERVICE,
    "two keys, none listed": DRIVER + TOWN + stats(f"entities=[town, driver], ttl=DAY, {SOURCE}, {SCHEMA}") + SERVICE,
    "two keys, one listed": DRIVER + TOWN + stats(f"entities=[town, driver], ttl=DAY, {SOURCE}, {LISTED}") + SERVICE,
    "a key of 32 bits": DRIVER.replace("INT64", "INT32") + stats(f"entities=[driver], {SOURCE}, {SCHEMA}") + SERVICE,
    "no TTL": DRIVER + stats(f"entities=[driver], ttl=None, {SOURCE}, {SCHEMA}") + SERVICE,
    "a TTL of zero": DRIVER + stats(f"entities=[driver], ttl=timedelta(0), {SOURCE}, {SCHEMA}") + SERVICE,
    "no entity": stats(f"ttl=DAY, {SOURCE}, {SCHEMA}") + SERVICE,
    "columns under another name": DRIVER + stats(f"entities=[driver], ttl=DAY, {MAPPED}, {SCHEMA}") + SERVICE,
    "a key in two roles": DRIVER + stats(f"entities=[driver], ttl=DAY, {SOURCE}, {SCHEMA}") + ROLES,
    "a service of names": DRIVER + stats(f"entities=[driver], ttl=DAY, {SOURCE}, {SCHEMA}")
    + 'service = FeatureService(name="ranking", features=["stats:trips"])\n',
    "rows may be pushed too": DRIVER
    + stats(f'entities=[driver], ttl=DAY, source=PushSource(name="push", batch_{SOURCE}), {SCHEMA}') + SERVICE,
    "a batch feature view": DRIVER + stats(f"entities=[driver], ttl=DAY, {SOURCE}, {SCHEMA}", "BatchFeatureView")
    + SERVICE,
    "all types of features": DRIVER + stats(f"entities=[driver], ttl=DAY, {SOURCE}, {ALL_TYPES}") + SERVICE,
    "no time of writing": DRIVER
    + stats(f'entities=[driver], ttl=DAY, source=offline_source("stats", created=None), {SCHEMA}') + SERVICE,
    "data seen from the feature repo": DRIVER
    + stats(f"""entities=[driver], ttl=DAY, source=FileSource(name="relative", path="rows", timestamp_field=
        "event_timestamp", created_timestamp_column="created"), {SCHEMA}""") + SERVICE,
}  # fmt: skip


def rows() -> pd.DataFrame:
    """Three drivers, one of them stale by now and one with two rows."""
    hours = [1, 5, 2, 30]
    moments = pd.Series([NOW - timedelta(hours=ago) for ago in hours]).astype("datetime64[us, UTC]")
    return pd.DataFrame(
        {
            "driver_id": [1, 1, 2, 3],
            "town": ["a", "a", "b", "c"],
            "rate": [0.1, 0.5, 0.25, 0.75],
            "trips": pd.array([3, 5, None, 7], "Int64"),
            "i32": pd.array([1, 2, None, -4], "Int32"),
            "f64": [0.1, None, 1e300, -0.0],
            "text": ["", "é", None, "x"],
            "flag": pd.array([True, None, False, True], "boolean"),
            "moment": moments,
            "event_timestamp": moments,
            "created": moments + timedelta(minutes=5),
        }
    )


@dataclass
class World:
    """A feature repo, its source file, and both stores."""

    settings: Settings
    redis_url: str

    def define(self, definitions: str) -> None:
        write_feature_repo(self.settings.feature_repo, "shapes", HEAD + definitions)
        created = "null" if "created=None" in definitions else "created"
        (self.settings.feature_repo / "sources.yaml").write_text(
            "views:\n  stats:\n    table: stats\n"
            "    rename: {event_timestamp: event, driver_id: 'no', rate: r}\n"
            f"    created: {created}\n"
            if "field_mapping" in definitions
            else f"views:\n  stats:\n    table: stats\n    created: {created}\n"
        )

    def to_offline_store(self, file: Path, key: str = "r1") -> dict[str, Any]:
        work = Workplace.open(key)
        ((view, rules),) = work.chosen(None)
        run = work.run(view)
        ingest(run, view, rules, locate(str(file), rules.table), work.watermarks, NOW)
        clean(run, view)
        return explore_and_validate(run, view, rules, work.places(view), work.watermarks, NOW)

    def store(self) -> FeatureStore:
        return open_store(self.settings, self.redis_url)

    @contextmanager
    def feasts_own(self) -> Iterator[FeatureStore]:
        """The definitions as Feast alone reads and applies them, over its own stores and engine."""
        repo = self.settings.feature_repo
        config = store_config(self.settings, self.redis_url) | {
            "registry": {"path": str(self.settings.home / "own.db"), "cache_ttl_seconds": 0},
            "offline_store": {"type": "file"},
            "batch_engine": {"type": "local"},
        }
        store = FeatureStore(config=RepoConfig(**config, repo_path=repo))
        with definitions_for(self.settings), _imported_from(repo):
            raw = parse_repo(repo)
            store.apply([*raw.entities, *raw.feature_views, *raw.feature_services])
        yield store

    def redis(self) -> dict[bytes, dict[bytes, bytes]]:
        """Every feature hash; takes them away."""
        with redis.Redis.from_url(self.redis_url) as client:
            found = {key: client.hgetall(key) for key in client.scan_iter() if not key.startswith(b"twinserve:")}
            client.flushall()
        return found


@pytest.fixture(scope="module")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with leased_redis(load_settings(home=tmp_path_factory.mktemp("redis"))) as url:
        yield url


@pytest.fixture
def world(tmp_path: Path, shared_redis: str, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("TWINSERVE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TWINSERVE_FEATURE_REPO", str(tmp_path / "repo"))
    monkeypatch.chdir(tmp_path)
    found = World(load_settings(), shared_redis)
    found.redis()
    return found


@pytest.fixture
def source(tmp_path: Path) -> Callable[[pd.DataFrame], Path]:
    def write(frame: pd.DataFrame) -> Path:
        frame.to_parquet(tmp_path / "stats.parquet", index=False)
        return tmp_path / "stats.parquet"

    return write


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_read_as_feast_reads_it(
    world: World, source: Callable[[pd.DataFrame], Path], shape: str
) -> None:
    world.define(SHAPES[shape])
    frame = rows() if shape != "no entity" else rows()[:1]
    done = world.to_offline_store(source(frame))
    assert (done["rows_new"], done["rows_bad"]) == (len(frame), 0)
    (spec,) = load_views(world.settings)
    applied = apply_definitions(world.settings, world.redis_url)
    assert applied["feature_views"] == ["stats"]
    materialize(world.settings, world.redis_url)
    ours = world.redis()

    with world.feasts_own() as own:
        mine, feasts = world.store().get_feature_view("stats"), own.get_feature_view("stats")
        assert (mine.entity_columns, mine.features, mine.ttl) == (feasts.entity_columns, feasts.features, feasts.ttl)
        stored = {new: old for old, new in feasts.batch_source.field_mapping.items()}
        keys = {stored.get(c.name, c.name): c for c in feasts.entity_columns if c.name != "__dummy_id"}
        assert spec.join_keys == {name: column.dtype.to_value_type().name for name, column in keys.items()}
        assert list(spec.features) == [stored.get(feature.name, feature.name) for feature in feasts.features]
        own.materialize(NOW - timedelta(days=60), datetime.now(UTC))
        assert ours == world.redis()
        assert len(ours) == len(frame.drop_duplicates([c.name for c in keys.values()] or ["event_timestamp"]))
        same_history(world.store(), own, frame)


def same_history(store: FeatureStore, own: FeatureStore, frame: pd.DataFrame) -> None:
    """The newest row of every key as of now, the keys under every name that a shape gives them."""
    asked = frame[["driver_id", "town"]].drop_duplicates().assign(event_timestamp=pd.Timestamp(NOW))
    asked["driver_id"] = asked["driver_id"].astype("int64")
    asked = asked.assign(first_id=asked["driver_id"], second_id=asked["driver_id"].replace({1: 2, 2: 1}))
    answers = []
    for each in (store, own):
        service = each.get_feature_service("ranking")
        found = each.get_historical_features(asked, service, full_feature_names=True).to_df()
        answers.append(found.set_index("driver_id").drop(columns=["event_timestamp", "town", "first_id", "second_id"]))
    mine, feasts = answers
    assert sorted(mine.columns) == sorted(feasts.columns)
    kept = feasts.reindex(mine.index)  # Feast's file store drops entity rows whose features have expired
    for column in mine.columns:
        same = mine[column].astype(object).where(mine[column].notna(), None)
        assert same.tolist() == kept[column].astype(object).where(kept[column].notna(), None).tolist(), column


def test_a_key_whose_type_nobody_names_is_refused_before_anything_is_written(
    world: World, source: Callable[[pd.DataFrame], Path]
) -> None:
    file = source(rows())
    untyped = UNTYPED + stats(f"entities=[driver], ttl=DAY, {SOURCE}, {SCHEMA}") + SERVICE
    world.define(untyped)
    with pytest.raises(BadInput, match=r"stats has no type for its join key driver_id.*Entity a value_type"):
        world.to_offline_store(file)
    assert not world.settings.offline_store.exists()
    world.define(SHAPES["both name it"])
    world.to_offline_store(file)
    world.define(untyped)  # as Feast does, which reads it from the stored rows
    (view,) = load_views(world.settings)
    assert view.join_keys == {"driver_id": "INT64"}
    assert world.to_offline_store(file, "r2")["rows_new"] == 0


def test_the_type_of_a_key_under_another_name_is_that_of_its_stored_column(
    world: World, source: Callable[[pd.DataFrame], Path]
) -> None:
    """Feast alone registers such a view without its key, and gives one row of three (findings/)."""
    mapped = stats(f"entities=[driver], ttl=DAY, {MAPPED}, {SCHEMA}") + SERVICE
    world.define(UNTYPED + mapped)
    with pytest.raises(BadInput, match="stats has no type for its join key driver_id"):
        load_views(world.settings)
    world.define(DRIVER + mapped)
    world.to_offline_store(source(rows()))
    world.define(UNTYPED + mapped)
    (view,) = load_views(world.settings)
    assert view.join_keys == {"no": "INT64"}
    apply_definitions(world.settings, world.redis_url)
    (key,) = world.store().get_feature_view("stats").entity_columns
    assert key.name == "driver_id"


def test_stored_columns_are_no_features_until_they_are_listed(
    world: World, source: Callable[[pd.DataFrame], Path]
) -> None:
    bare = DRIVER + stats(f"entities=[driver], ttl=DAY, {SOURCE}") + SERVICE
    world.define(bare)
    with pytest.raises(BadInput, match="stats lists no features, and no rows are stored"):
        load_views(world.settings)
    world.define(SHAPES["both name it"])
    world.to_offline_store(source(rows()))
    world.define(bare)
    (view,) = load_views(world.settings)
    assert view.features == {"rate": "FLOAT", "trips": "INT64"}


def test_an_entity_that_feast_would_not_register_is_refused(world: World) -> None:
    hidden = "def entity():\n    return Entity(name='driver', join_keys=['driver_id'], value_type=ValueType.INT64)\n"
    world.define(hidden + stats(f"entities=[entity()], ttl=DAY, {SOURCE}, {SCHEMA}"))
    with pytest.raises(BadInput, match="stats has the entity driver, which no file"):
        load_definitions(world.settings)


@pytest.mark.parametrize("first", ["with a key more", "without a key"])
def test_a_change_of_keys_stops_before_anything_is_written(
    world: World, source: Callable[[pd.DataFrame], Path], first: str
) -> None:
    two = DRIVER + TOWN + stats(f"entities=[town, driver], ttl=DAY, {SOURCE}, {SCHEMA}")
    one = DRIVER + stats(f"entities=[driver], ttl=DAY, {SOURCE}, {SCHEMA}")
    frame = pd.concat([rows(), rows().assign(town="other", rate=0.9)])
    before, after = (two, one) if first == "with a key more" else (one, two)
    world.define(before)
    world.to_offline_store(source(frame if before == two else rows()))
    stored = {file: file.read_bytes() for file in world.settings.home.rglob("*.parquet") if "offline" in str(file)}
    marks = {file: file.read_bytes() for file in (world.settings.home / "watermarks").rglob("*.json")}
    world.define(after)
    later = frame.assign(created=frame["created"] + timedelta(minutes=10))
    with pytest.raises(BadInput, match=r"written with other keys or times than feature view stats has: it .*town"):
        world.to_offline_store(source(later), "r2")
    assert stored == {file: file.read_bytes() for file in stored}
    assert marks == {file: file.read_bytes() for file in (world.settings.home / "watermarks").rglob("*.json")}
    assert not list((world.settings.home / "quarantine").rglob("*.parquet"))
