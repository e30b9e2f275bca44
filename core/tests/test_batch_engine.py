"""`store.materialize`, `store.materialize_incremental` and `feast materialize` through our batch engine.

What Feast's documentation says of them, and its own local engine as the reference: the contents of Redis are compared
hash by hash, byte by byte.
"""

from __future__ import annotations

import _thread
import os
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis
from feast import BatchFeatureView, Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.repo_config import RepoConfig
from feast.types import (
    Array,
    Bool,
    Bytes,
    Decimal,
    Float32,
    Float64,
    Int32,
    Int64,
    Json,
    Map,
    String,
    Struct,
    UnixTimestamp,
    Uuid,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twinserve.errors import BadInput, StepMissing
from twinserve.features.materialization.batch_engine import RedisBatchEngine

pytestmark = pytest.mark.integration
OURS = "twinserve.features.batch_engine.RedisBatchEngine"
START = datetime(2026, 3, 1, tzinfo=UTC)
END = START + timedelta(days=10)
UTC_MICROS = pa.timestamp("us", tz="UTC")
SHOP = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.INT64)
TOWN = Entity(name="town", join_keys=["town"], value_type=ValueType.STRING)
TYPES: dict[str, tuple[Any, pa.DataType, st.SearchStrategy[Any]]] = {
    "i32": (Int32, pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    "i64": (Int64, pa.int64(), st.integers(-(2**53), 2**53)),
    "f32": (Float32, pa.float32(), st.floats(width=32)),
    "f64": (Float64, pa.float64(), st.floats()),
    "flag": (Bool, pa.bool_(), st.booleans()),
    "text": (String, pa.string(), st.text(st.characters(exclude_categories=["Cs"]), max_size=20)),
    "raw": (Bytes, pa.binary(), st.binary(min_size=1, max_size=20)),
    "moment": (UnixTimestamp, UTC_MICROS, st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1))),
    "uid": (Uuid, pa.string(), st.uuids().map(str)),
    "price": (Decimal, pa.string(), st.decimals(allow_nan=False, allow_infinity=False, places=2).map(str)),
}
NESTED: dict[str, tuple[Any, pa.DataType, list[Any]]] = {
    "floats": (Array(Float32), pa.list_(pa.float32()), [[0.5, -1.0], [], None]),
    "doubles": (Array(Float64), pa.list_(pa.float64()), [[0.1], [1e300, 2.0], None]),
    "ints": (Array(Int64), pa.list_(pa.int64()), [[1, 2**40], [], None]),
    "texts": (Array(String), pa.list_(pa.string()), [["a", "é"], [""], None]),
    "flags": (Array(Bool), pa.list_(pa.bool_()), [[True], [False, True], None]),
    "times": (Array(UnixTimestamp), pa.list_(pa.timestamp("us")), [[datetime(2026, 1, 1)], [], None]),
    "record": (Struct({"a": Int64}), pa.struct([("a", pa.int64())]), [{"a": 1}, {"a": 2}, None]),
    "map": (Map, pa.struct([("x", pa.string())]), [{"x": "1"}, {"x": "2"}, None]),
    "json": (Json, pa.string(), ['{"a": 1}', "[]", None]),
}


class World:
    """A project with its Parquet files, one registry and one Redis; several stores over them."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.redis: Any = redis.Redis.from_url(url)
        self.staging = folder / "staging"

    def store(self, engine: Any = None, online: dict[str, Any] | None = None, **more: Any) -> FeatureStore:
        host = self.url.removeprefix("redis://").removesuffix("/0")
        config = RepoConfig(
            project="market",
            provider="local",
            registry={
                "registry_type": "file",
                "path": str(self.folder / "registry.db"),
                "cache_ttl_seconds": 0,
                **more,
            },
            offline_store={"type": "file"},
            online_store=online or {"type": "redis", "connection_string": host},
            batch_engine=engine or {"type": OURS, "staging_path": str(self.staging)},
            entity_key_serialization_version=3,
            repo_path=self.folder,
        )
        return FeatureStore(config=config)

    def source(self, table: pa.Table, name: str = "rows", **more: Any) -> FileSource:
        """The table as two files of a folder."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        half = table.num_rows // 2
        for number, part in enumerate((table.slice(0, half), table.slice(half))):
            pq.write_table(part, folder / f"part-{number}.parquet")
        return FileSource(
            name=name, path=str(folder), timestamp_field="event_timestamp", created_timestamp_column="created", **more
        )

    def contents(self) -> dict[bytes, tuple[dict[bytes, bytes], bool]]:
        """Every hash of features in Redis, and whether it expires."""
        keys = [key for key in self.redis.scan_iter(count=1000) if not key.startswith(b"twinserve:")]
        return {key: (self.redis.hgetall(key), self.redis.ttl(key) > 0) for key in keys}

    def by(self, store: FeatureStore, start: datetime = START, end: datetime = END) -> dict[bytes, Any]:
        """What Redis holds after the store has materialized into an empty one."""
        self.redis.flushall()
        store.materialize(start, end)
        return self.contents()


@pytest.fixture
def world(tmp_path: Path, redis_url: str) -> World:
    return World(tmp_path, redis_url)


def table(rows: list[dict[str, Any]], columns: dict[str, pa.DataType]) -> pa.Table:
    times = {"event_timestamp": UTC_MICROS, "created": UTC_MICROS}
    return pa.Table.from_pylist(rows, pa.schema({**columns, **times}))


def random_rows(count: int, keys: int, seed: int = 3) -> pa.Table:
    """`shop_id`, `amount` and `label` over fourteen days around the interval; event times are all different."""
    rng = np.random.default_rng(seed)
    seconds = rng.permutation(14 * 86_400)[:count] - 2 * 86_400
    times = [START + timedelta(seconds=int(second)) for second in seconds]
    rows = [
        {
            "shop_id": int(rng.integers(-5, keys - 5)),
            "amount": None if rng.random() < 0.2 else float(rng.normal()),
            "label": None if rng.random() < 0.2 else f"l{rng.integers(99)}",
            "event_timestamp": at,
            "created": at,
        }
        for at in times
    ]
    return table(rows, {"shop_id": pa.int64(), "amount": pa.float64(), "label": pa.string()})


def sales(source: FileSource, **more: Any) -> FeatureView:
    fields = [
        Field(name="shop_id", dtype=Int64),
        Field(name="amount", dtype=Float64),
        Field(name="label", dtype=String),
    ]
    return FeatureView(name="sales", entities=[SHOP], schema=fields, source=source, ttl=timedelta(days=30), **more)


def drawn_rows(types: dict[str, Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Rows of a few keys, with late and future ones; no two of a key are of one time."""
    second = st.integers(-86_400, 11 * 86_400).map(lambda after: START + timedelta(seconds=after))
    row = st.fixed_dictionaries(
        {
            "shop_id": st.sampled_from([-(2**53), -1, 0, 1, 2**53]),
            "town": st.sampled_from(["", "a", "é" * 40]),
            "event_timestamp": second,
            **{name: st.none() | values for name, (_, _, values) in types.items()},
        }
    )
    unique = st.lists(row, min_size=2, max_size=12, unique_by=lambda r: (r["shop_id"], r["town"], r["event_timestamp"]))
    return unique.map(lambda rows: [{**row, "created": row["event_timestamp"]} for row in rows])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=drawn_rows(TYPES))
def test_every_scalar_type_and_composite_keys_equal_feasts_engine(world: World, rows: list[dict[str, Any]]) -> None:
    kinds = {"shop_id": pa.int64(), "town": pa.string(), **{name: kind for name, (_, kind, _) in TYPES.items()}}
    fields = [Field(name="shop_id", dtype=Int64), Field(name="town", dtype=String)]
    view = FeatureView(
        name="all_types",
        entities=[TOWN, SHOP],
        schema=[*fields, *(Field(name=name, dtype=dtype) for name, (dtype, _, _) in TYPES.items())],
        source=world.source(table(rows, kinds)),
    )
    world.store().apply([SHOP, TOWN, view])
    expected = world.by(world.store("local"))
    assert world.by(world.store()) == expected


def test_lists_maps_and_structs_equal_feasts_engine(world: World) -> None:
    rows = [
        {"shop_id": number, "event_timestamp": START, "created": START}
        | {name: values[number] for name, (_, _, values) in NESTED.items()}
        for number in range(3)
    ]
    kinds = {"shop_id": pa.int64(), **{name: kind for name, (_, kind, _) in NESTED.items()}}
    fields = [Field(name=name, dtype=dtype) for name, (dtype, _, _) in NESTED.items()]
    view = FeatureView(name="nested", entities=[SHOP], schema=fields, source=world.source(table(rows, kinds)))
    world.store().apply([SHOP, view])
    expected = world.by(world.store({"type": "local"}))
    assert len(expected) == 3
    assert world.by(world.store()) == expected


def test_materialize_takes_the_rows_of_the_interval_both_ends_included(world: World) -> None:
    view = sales(world.source(random_rows(3_000, 400)))
    world.store().apply([SHOP, view])
    expected = world.by(world.store("local"))
    assert 350 < len(expected) <= 400
    assert world.by(world.store()) == expected
    at = START + timedelta(days=1)
    rows = [{"shop_id": n, "event_timestamp": at + timedelta(seconds=n), "created": at} for n in range(-2, 3)]
    kinds = {"shop_id": pa.int64(), "amount": pa.float64(), "label": pa.string()}
    world.source(table(rows, kinds))
    inside = world.by(world.store(), at - timedelta(seconds=1), at + timedelta(seconds=1))
    assert inside == world.by(world.store("local"), at - timedelta(seconds=1), at + timedelta(seconds=1))
    assert len(inside) == 3


def test_materialize_incremental_goes_on_from_where_it_ended(world: World) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    rows = [
        {"shop_id": key, "amount": float(hours), "event_timestamp": now - timedelta(hours=hours), "created": now}
        for key, hours in [(1, 30), (2, 20), (1, 10), (3, 2)]
    ]
    kinds = {"shop_id": pa.int64(), "amount": pa.float64(), "label": pa.string()}
    view = sales(world.source(table(rows, kinds)))
    world.store().apply([SHOP, view])
    store = world.store()
    store.materialize_incremental(now - timedelta(hours=15))
    assert amounts(store) == [30.0, 20.0, None]
    store.materialize_incremental(now)
    assert amounts(store) == [10.0, 20.0, 2.0]
    intervals = store.get_feature_view("sales").materialization_intervals
    assert [end for _, end in intervals] == [now - timedelta(hours=15), now]
    assert intervals[1][0] == now - timedelta(hours=15)


def amounts(store: FeatureStore) -> list[float | None]:
    answer = store.get_online_features(["sales:amount"], [{"shop_id": key} for key in (1, 2, 3)]).to_dict()
    found: list[float | None] = answer["amount"]
    return found


def test_feasts_own_command_line_uses_the_engine(world: World) -> None:
    view = sales(world.source(random_rows(500, 100)))
    world.store().apply([SHOP, view])
    expected = world.by(world.store("local"))
    world.redis.flushall()
    (world.folder / "feature_store.yaml").write_text(
        f"project: market\nprovider: local\nregistry: {world.folder / 'registry.db'}\n"
        "offline_store: {type: file}\n"
        'online_store: {type: redis, connection_string: "${TEST_REDIS}"}\n'
        f'batch_engine: {{type: {OURS}, staging_path: "{world.staging}"}}\n'
        "entity_key_serialization_version: 3\n"
    )
    feast(world, "materialize", START.isoformat(), END.isoformat())
    assert world.contents() == expected
    assert not list(world.staging.rglob("*.parquet"))
    world.redis.flushall()
    feast(world, "materialize-incremental", (END + timedelta(days=1)).isoformat())
    assert world.contents() == world.by(world.store("local"), END, END + timedelta(days=1))


def feast(world: World, *words: str) -> str:
    command = [str(Path(sys.executable).with_name("feast")), "--chdir", str(world.folder), *words]
    environment = {**os.environ, "TEST_REDIS": world.url.removeprefix("redis://").removesuffix("/0"), "IS_TEST": "True"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_the_bar_that_feast_makes_counts_every_row(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    world.store().apply([SHOP, sales(world.source(random_rows(500, 100)))])
    held = world.by(world.store())
    assert f"{len(held)}/{len(held)}" in capfd.readouterr().err


def test_the_same_request_goes_on_where_ctrl_c_ended_it(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    world.store().apply([SHOP, sales(world.source(random_rows(60_000, 50_000)))])
    expected = world.by(world.store())
    world.redis.flushall()
    threading.Thread(target=interrupt_main_after, args=(world.redis, 5_000)).start()
    with pytest.raises(KeyboardInterrupt):
        world.store().materialize(START, END)
    (staged,) = world.staging.rglob("*.parquet")
    time.sleep(0.3)  # Redis still reads what was on its way
    done = int(world.redis.get("twinserve:materializing:market:sales").split()[1])
    capfd.readouterr()
    world.store().materialize(START, END)
    left = len(expected) - done
    assert f"{left}/{left}" in capfd.readouterr().err
    assert world.contents() == expected
    assert not staged.exists()


def interrupt_main_after(client: Any, rows: int) -> None:
    while int((client.get("twinserve:materializing:market:sales") or b"x 0").split()[1]) < rows:
        time.sleep(0.0005)
    _thread.interrupt_main()


def test_rows_staged_for_another_interval_are_written_first(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.store().apply([SHOP, sales(world.source(random_rows(900, 200)))])
    expected = world.by(world.store("local"))
    world.redis.flushall()
    with monkeypatch.context() as patch:
        patch.setattr("twinserve.features.materialization.view_write.write_rows", interrupted)
        with pytest.raises(KeyboardInterrupt):
            world.store().materialize(START, END)
    world.store().materialize(START, END - timedelta(days=3))
    assert world.contents() == expected
    assert not list(world.staging.rglob("*.parquet"))


INCREMENTAL = """
import sys
from datetime import UTC, datetime
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_batch_engine import World
World(Path(sys.argv[2]), sys.argv[3]).store().materialize_incremental(datetime.now(UTC))
"""


def test_a_killed_incremental_run_is_gone_on_with(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    rows = random_rows(60_000, 50_000)
    times = [datetime.now(UTC) - timedelta(days=2) + timedelta(seconds=n) for n in range(rows.num_rows)]
    place = rows.column_names.index("event_timestamp")
    recent = rows.set_column(place, "event_timestamp", pa.array(times, UTC_MICROS))
    world.store().apply([SHOP, sales(world.source(recent))])
    words = [sys.executable, "-c", INCREMENTAL, str(Path(__file__).parent), str(world.folder), world.url]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        note = "twinserve:materializing:market:sales"
        while process.poll() is None and int((world.redis.get(note) or b"x 0").split()[1]) < 5_000:
            time.sleep(0.0005)
        process.kill()
    time.sleep(0.3)  # Redis still reads what was on its way
    done = int(world.redis.get(note).split()[1])
    (staged,) = world.staging.rglob("*.parquet")
    left = pq.read_metadata(staged).num_rows - done
    end = datetime.now(UTC)
    world.store().materialize_incremental(end)
    assert f"{left}/{left}" in capfd.readouterr().err
    assert not staged.exists()
    resumed = world.contents()
    assert resumed == world.by(world.store(), end - timedelta(days=30), end)


def interrupted(*_: Any) -> int:
    raise KeyboardInterrupt


def test_field_mapping_versions_and_expiry_are_feasts(world: World) -> None:
    stored = random_rows(800, 90).rename_columns(["the_shop", "sum", "label", "event_timestamp", "created"])
    source = world.source(stored, field_mapping={"the_shop": "shop_id", "sum": "amount"})
    host = world.url.removeprefix("redis://").removesuffix("/0")
    expiring = {"type": "redis", "connection_string": host, "key_ttl_seconds": 500}
    versions: dict[str, Any] = {"enable_online_feature_view_versioning": True}
    world.store().apply([SHOP, sales(source)])
    world.store(**versions).apply([SHOP, sales(source, description="second")])
    expected = world.by(world.store("local", expiring, **versions))
    assert all(expires for _, expires in expected.values())
    assert world.by(world.store(None, expiring, **versions)) == expected


def test_a_view_without_entities_has_one_row(world: World) -> None:
    rows = random_rows(200, 9).drop_columns(["shop_id"])
    fields = [Field(name="amount", dtype=Float64), Field(name="label", dtype=String)]
    world.store().apply([FeatureView(name="world", entities=[], schema=fields, source=world.source(rows))])
    expected = world.by(world.store("local"))
    assert len(expected) == 1
    assert world.by(world.store()) == expected


def test_an_alias_of_a_key_reads_what_was_written_under_the_key(world: World) -> None:
    world.store().apply([SHOP, sales(world.source(random_rows(300, 20)))])
    world.by(world.store())
    store = world.store()
    view = store.get_feature_view("sales").with_name("other").with_join_key_map({"shop_id": "other_id"})
    from feast import FeatureService

    store.apply([FeatureService(name="aliased", features=[view])])
    answer = store.get_online_features(store.get_feature_service("aliased"), [{"other_id": 3}]).to_dict()
    direct = store.get_online_features(["sales:label"], [{"shop_id": 3}]).to_dict()
    assert answer["label"] == direct["label"] != [None]


def test_rows_without_a_key_or_a_time_are_nobodys(world: World) -> None:
    rows: list[dict[str, Any]] = [
        {"shop_id": None, "amount": 1.0, "event_timestamp": START, "created": START},
        {"shop_id": 1, "amount": 2.0, "event_timestamp": None, "created": START},
        {"shop_id": 2, "amount": 3.0, "event_timestamp": START, "created": None},
    ]
    kinds = {"shop_id": pa.int64(), "amount": pa.float64(), "label": pa.string()}
    world.store().apply([SHOP, sales(world.source(table(rows, kinds)))])
    assert len(world.by(world.store())) == 1
    world.source(table([rows[0], {**rows[0], "shop_id": 1}], kinds))
    with pytest.raises(ValueError, match="not supported"):
        world.by(world.store("local"))


def test_of_one_event_time_the_last_created_wins(world: World) -> None:
    rows = [
        {"shop_id": 1, "amount": amount, "event_timestamp": START, "created": START + timedelta(hours=hours)}
        for amount, hours in [(1.0, 1), (3.0, 3), (2.0, 2)]
    ]
    kinds = {"shop_id": pa.int64(), "amount": pa.float64(), "label": pa.string()}
    world.store().apply([SHOP, sales(world.source(table(rows, kinds)))])
    world.by(world.store())
    assert amounts(world.store())[0] == 3.0


def test_a_correction_of_the_same_event_time_is_written_which_feast_skips(world: World) -> None:
    row = {"shop_id": 1, "amount": 1.0, "event_timestamp": START, "created": START}
    corrected = {**row, "amount": 5.0, "created": START + timedelta(hours=1)}
    kinds = {"shop_id": pa.int64(), "amount": pa.float64(), "label": pa.string()}
    found = []
    for engine in (None, "local"):
        world.store().apply([SHOP, sales(world.source(table([row], kinds)))])
        world.by(world.store(engine))
        world.source(table([row, corrected], kinds))
        world.store(engine).materialize(START, END)
        found.append(amounts(world.store())[0])
    assert found == [5.0, 1.0]


def doubled(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(amount=rows["amount"] * 2)


def test_a_transformation_is_done_by_feasts_own_engine(world: World) -> None:
    fields = [Field(name="shop_id", dtype=Int64), Field(name="amount", dtype=Float64)]
    source = world.source(random_rows(300, 50).drop_columns(["label"]))
    plain = FeatureView(name="sales", entities=[SHOP], schema=fields, source=source)
    world.store().apply([SHOP, plain])
    before = world.by(world.store())
    world.store().apply([plain], objects_to_delete=[plain], partial=False)
    changed = BatchFeatureView(
        name="sales", mode="pandas", udf=doubled, entities=[SHOP], schema=fields, source=source, online=True
    )
    world.store().apply([SHOP, changed])
    expected = world.by(world.store("local"))
    assert world.by(world.store()) == expected
    assert expected != before, "the transformation was done"


def test_sqlite_is_written_by_feasts_own_writer(world: World) -> None:
    world.store().apply([SHOP, sales(world.source(random_rows(600, 80)))])
    answers = []
    for engine in (None, "local"):
        online = {"type": "sqlite", "path": str(world.folder / f"online-{engine}.db")}
        store = world.store(engine, online)
        store.apply([SHOP, sales(world.source(random_rows(600, 80)))])
        store.materialize(START, END)
        asked = [{"shop_id": key} for key in range(-5, 75)]
        answers.append(store.get_online_features(["sales:amount", "sales:label"], asked).to_dict())
    assert answers[0] == answers[1]
    assert sum(amount is not None for amount in answers[0]["amount"]) > 40
    assert world.redis.dbsize() == 0


def test_errors_reach_the_caller_as_ours(world: World) -> None:
    source = world.source(random_rows(40, 9))
    world.store().apply([SHOP, sales(source)])
    for number in (0, 1):
        pq.write_table(random_rows(40, 9).rename_columns(["shop_id", "sum", "label", "event_timestamp", "created"]),
                       world.folder / "rows" / f"part-{number}.parquet")  # fmt: skip
    with pytest.raises(BadInput, match=r"amount"):
        world.store().materialize(START, END)
    for file in (world.folder / "rows").iterdir():
        file.unlink()
    with pytest.raises(StepMissing, match="no features in"):
        world.store().materialize(START, END)


def test_without_a_folder_rows_are_staged_in_a_private_temporary_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(world.folder / "tmp"))
    (world.folder / "tmp").mkdir()
    world.store().apply([SHOP, sales(world.source(random_rows(100, 20)))])
    world.by(world.store({"type": OURS, "memory_mb": 64}))
    (folder,) = (world.folder / "tmp").glob("twinserve-staging-*")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert not list(folder.rglob("*.parquet"))
    folder.chmod(0o755)
    with pytest.raises(BadInput, match="is not a folder of ours alone"):
        world.by(world.store({"type": OURS, "memory_mb": 64}))


def test_a_bare_name_is_enough_to_choose_the_engine(world: World) -> None:
    world.store().apply([SHOP, sales(world.source(random_rows(50, 9)))])
    store = world.store(OURS)
    assert isinstance(store._get_provider().batch_engine, RedisBatchEngine)
    assert len(world.by(store)) > 3
