"""The reader of contracts on a real Redis: Feast's answer, and what becomes of reads when Redis does not answer."""

from __future__ import annotations

import asyncio
import gc
import random
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import redis
import trustme
from hypothesis import HealthCheck, given
from hypothesis import settings as tuned
from hypothesis import strategies as st
from redis_server import RedisServer
from wire_proxy import WireProxy

from twinserve.contract import Contract, MissingPolicy, Output, Tolerance, build_contract
from twinserve.errors import BadInput, PermanentError, TransientError
from twinserve.features.feast_repo.service import describe_service
from twinserve.features.feast_repo.store import apply_definitions, feast_connection_string, open_store
from twinserve.features.feast_repo.views import ServedFeature, ServiceSpec
from twinserve.features.online import FeatureReader, OnlineRows, open_reader
from twinserve.features.online_store.redis_link import RedisLink
from twinserve.features.online_store.redis_reader import RedisReader
from twinserve.features.redis.address import command, redis_address
from twinserve.features.redis.layout import event_time_field, feature_field, redis_key
from twinserve.missing import NO_EVENT, Status, cell_status
from twinserve.settings import Settings

pytestmark = pytest.mark.integration
Build = Callable[..., Contract]
NOW = datetime(2026, 5, 1, tzinfo=UTC)
ASKED = int(NOW.timestamp()) * 1_000_000
DEFINITIONS = """\
from datetime import timedelta
from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.types import Bool, Float32, Float64, Int32, Int64, String
from twinserve.features.sources import offline_source

store = Entity(name="store", join_keys=["store_id"], value_type=ValueType.INT64)
city = Entity(name="city", join_keys=["city"], value_type=ValueType.STRING)
sales = FeatureView(
    name="sales", entities=[store], ttl=timedelta(hours=1), source=offline_source("sales"),
    schema=[Field(name="store_id", dtype=Int64), Field(name="f32", dtype=Float32), Field(name="f64", dtype=Float64),
            Field(name="i32", dtype=Int32), Field(name="i64", dtype=Int64), Field(name="open", dtype=Bool)],
)
visits = FeatureView(
    name="visits", entities=[store], source=offline_source("visits"),
    schema=[Field(name="store_id", dtype=Int64), Field(name="count", dtype=Int64)],
)
weather = FeatureView(
    name="weather", entities=[city], source=offline_source("weather"),
    schema=[Field(name="city", dtype=String), Field(name="rain", dtype=Float64)],
)
routes = FeatureView(
    name="routes", entities=[store, city], source=offline_source("routes"),
    schema=[Field(name="store_id", dtype=Int64), Field(name="city", dtype=String), Field(name="km", dtype=Int32)],
)
world = FeatureView(
    name="world", entities=[], source=offline_source("world"), schema=[Field(name="price", dtype=Float64)],
)
service = FeatureService(name="ranking", features=[sales, visits, weather, routes, world])
twins = FeatureService(name="twins", features=[
    weather.with_name("origin").with_join_key_map({"city": "origin_city"}),
    weather.with_name("target").with_join_key_map({"city": "target_city"}),
])
"""
CITIES = ["", "Ürümqi", "x\r\ny", "Rome"]


def contract_of(settings: Settings, url: str, service: str = "ranking") -> Contract:
    return build_contract(
        describe_service(open_store(settings, url), service),
        output=Output(method="predict", target="sold", meaning="sales"),
        missing=MissingPolicy(),
        tolerance=Tolerance(absolute=0, relative=0, why="test"),
        libraries={},
        golden=(),
    )


def by_sdk(store: Any, contract: Contract, keys: dict[str, Any]) -> OnlineRows:
    """What Feast's SDK answers for the same keys, with our statuses."""
    service = store.get_feature_service(contract.feature_service)
    answer = store.get_online_features(service, keys, full_feature_names=True).proto
    columns = dict(zip(answer.metadata.feature_names.val, answer.results, strict=True))
    found = [columns[f"{feature.view}__{feature.name}"] for feature in contract.features]
    values, times = [], []
    for column in found:
        kinds = [value.WhichOneof("val") for value in column.values]
        values.append(
            [
                np.nan if kind in (None, "null_val") else float(getattr(value, kind))
                for value, kind in zip(column.values, kinds, strict=True)
            ]
        )
        # Feast's Redis store gives a key that it does not have as a null of 1970
        times.append([t.seconds * 1_000_000 + t.nanos // 1000 or NO_EVENT for t in column.event_timestamps])
    matrix, events = np.array(values).T, np.array(times, dtype=np.int64).T
    status = cell_status(contract, matrix, events, np.full(len(matrix), ASKED))
    matrix[status == Status.UNKNOWN] = np.nan  # also of a row whose time is yet to come
    return OnlineRows(matrix, status, not status.any())


ages = st.sampled_from([0, 1, 3599, 3600, 3601, 90_000, -60]).map(lambda seconds: NOW - timedelta(seconds=seconds))
f32 = st.none() | st.floats(width=32, allow_nan=False)
f64 = st.none() | st.floats(allow_nan=False)
i32, i64 = st.none() | st.integers(-(2**31), 2**31 - 1), st.none() | st.integers(-(2**53), 2**53)
sales_rows = st.dictionaries(st.integers(-3, 3), st.tuples(f32, f64, i32, i64, st.none() | st.booleans(), ages))
stored = st.fixed_dictionaries(
    {
        "sales": sales_rows,
        "visits": st.dictionaries(st.integers(-3, 3), st.tuples(i64, ages)),
        "weather": st.dictionaries(st.sampled_from(CITIES), st.tuples(f64, ages)),
        "routes": st.dictionaries(st.tuples(st.integers(-3, 3), st.sampled_from(CITIES)), st.tuples(i32, ages)),
    }
)
COLUMNS = {
    "sales": {"f32": "float32", "f64": "float64", "i32": "Int32", "i64": "Int64", "open": "boolean"},
    "visits": {"count": "Int64"},
    "weather": {"rain": "float64"},
    "routes": {"km": "Int32"},
}
JOIN_KEYS = {"sales": ["store_id"], "visits": ["store_id"], "weather": ["city"], "routes": ["store_id", "city"]}


def frame(view: str, rows: dict[Any, tuple[Any, ...]]) -> pd.DataFrame:
    keys = [key if isinstance(key, tuple) else (key,) for key in rows]
    columns: dict[str, Any] = {name: [key[at] for key in keys] for at, name in enumerate(JOIN_KEYS[view])}
    for at, (name, dtype) in enumerate(COLUMNS[view].items()):
        columns[name] = pd.Series([row[at] for row in rows.values()], dtype=dtype).array
    columns["event_timestamp"] = columns["created"] = [row[-1] for row in rows.values()]
    return pd.DataFrame(columns)


@pytest.fixture
def applied(settings: Settings, feature_repo: Callable[..., Path], redis_url: str) -> Settings:
    """Settings whose feature repo is applied."""
    feature_repo()
    apply_definitions(settings, redis_url)
    return settings


@tuned(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=stored,
    asked=st.lists(st.tuples(st.integers(-4, 4), st.sampled_from([*CITIES, "nowhere"])), min_size=1, max_size=12),
    price=st.none() | f64,
)
def test_answers_are_feasts(
    applied: Settings,
    redis_url: str,
    rows: dict[str, dict[Any, tuple[Any, ...]]],
    asked: list[tuple[int, str]],
    price: float | None,
) -> None:
    store, contract = _opened(applied, redis_url)
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    for view, held in rows.items():
        if held:
            store.write_to_online_store(view, frame(view, held), allow_registry_cache=True)
    if price is not None:
        table = pd.DataFrame({"__dummy_id": [""], "price": [price], "event_timestamp": [NOW], "created": [NOW]})
        store.write_to_online_store("world", table, allow_registry_cache=True)
    keys: dict[str, Any] = {"store_id": [store_id for store_id, _ in asked], "city": [city for _, city in asked]}
    expected = by_sdk(store, contract, keys)
    found = asyncio.run(_read(open_reader(contract, applied, redis_url, seconds=5), keys))
    np.testing.assert_array_equal(found.status, expected.status)
    known = expected.status != Status.UNKNOWN
    np.testing.assert_array_equal(found.values[known], expected.values[known])
    assert np.isnan(found.values[~known]).all()
    assert found.complete == expected.complete


_STORES: dict[Path, tuple[Any, Contract]] = {}


def _opened(settings: Settings, url: str) -> tuple[Any, Contract]:
    """One store for all examples: opening one takes longer than reading."""
    if settings.home not in _STORES:
        _STORES[settings.home] = open_store(settings, url), contract_of(settings, url)
    return _STORES[settings.home]


async def _read(reader: FeatureReader, keys: Any, asked: int = ASKED) -> OnlineRows:
    try:
        return await reader.read(keys, asked)
    finally:
        await reader.close()


def test_a_view_without_entities_asks_for_no_key(applied: Settings, redis_url: str) -> None:
    contract = contract_of(applied, redis_url)
    assert [key.name for key in contract.join_keys] == ["city", "store_id"]
    assert contract.features[-1].join_keys == ()


async def test_one_view_under_two_names_is_read_under_its_own(applied: Settings, redis_url: str) -> None:
    store, contract = open_store(applied, redis_url), contract_of(applied, redis_url, "twins")
    store.write_to_online_store("weather", frame("weather", {"Rome": (1.5, NOW), "": (2.5, NOW)}))
    keys = {"origin_city": ["Rome", "Rome", "Oslo"], "target_city": ["", "Rome", ""]}
    found = await _read(open_reader(contract, applied, redis_url, seconds=5), keys)
    np.testing.assert_array_equal(found.values, [[1.5, 2.5], [1.5, 1.5], [np.nan, 2.5]])
    np.testing.assert_array_equal(found.values, by_sdk(store, contract, keys).values)
    assert found.status.tolist() == [[0, 0], [0, 0], [Status.UNKNOWN, 0]]


# --- one view of one float, in bytes of our own making

FLOAT = ServiceSpec("shop", "ranking", {"id": "INT64"}, (ServedFeature("v", "x", "DOUBLE", None, ("id",)),))


def fill(url: str, keys: int = 300) -> None:
    """Key k has the value k."""
    with redis.Redis.from_url(url) as client, client.pipeline(transaction=False) as pipe:
        for key in range(keys):
            value = b"\x29" + np.float64(key).tobytes()
            name = redis_key("shop", {"id": ("INT64", key)})
            pipe.hset(name, mapping={feature_field("v", "x"): value, event_time_field("v"): b"\x08\x01"})
        pipe.execute()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as server:
        fill(server.url)
        yield server


@pytest.fixture
async def proxy(server: RedisServer) -> AsyncIterator[WireProxy]:
    async with WireProxy(server.port) as proxy:
        yield proxy


@pytest.fixture
async def reader_at(build: Build) -> AsyncIterator[Callable[..., RedisReader]]:
    """Makes readers that are closed at the end; then no task of theirs may be left."""
    made: list[RedisReader] = []

    def make(url: str | int, seconds: float = 5.0, connections: int = 2) -> RedisReader:
        address = redis_address(f"redis://127.0.0.1:{url}/0" if isinstance(url, int) else url)
        made.append(RedisReader(build(FLOAT), RedisLink(address, connections=connections, seconds=seconds), seconds))
        return made[-1]

    before = asyncio.all_tasks()
    yield make
    for reader in made:
        await reader.close()
    ours = [task for task in asyncio.all_tasks() - before if "redis_link" in repr(task.get_coro())]
    assert ours == []


async def values_of(reader: FeatureReader, keys: list[int]) -> list[float]:
    found: list[float] = (await reader.read({"id": keys}, ASKED)).values[:, 0].tolist()
    return found


async def until_answered(reader: FeatureReader, seconds: float = 10.0) -> float:
    """How long it takes until reads succeed again."""
    began = time.monotonic()
    while True:
        try:
            assert await values_of(reader, [3]) == [3.0]
            return time.monotonic() - began
        except TransientError:
            assert time.monotonic() - began < seconds
            await asyncio.sleep(0.01)


Readers = Callable[..., RedisReader]


async def test_many_reads_share_few_connections(server: RedisServer, reader_at: Readers) -> None:
    reader = reader_at(server.url)
    lists = [[random.randrange(300) for _ in range(random.randrange(1, 40))] for _ in range(400)]
    found = await asyncio.gather(*(values_of(reader, keys) for keys in lists))
    assert found == [[float(key) for key in keys] for keys in lists]
    with server.client() as client:
        names = [each["name"] for each in client.client_list()]
    assert 1 <= names.count("twinserve-online") <= 2


async def test_no_candidates_ask_nothing(reader_at: Readers) -> None:
    rows = await reader_at("redis://127.0.0.1:1/0").read({"id": []}, ASKED)
    assert (rows.values.shape, rows.status.shape, rows.complete) == ((0, 1), (0, 1), True)


async def test_keys_of_different_lengths_are_refused(build: Build, server: RedisServer) -> None:
    both = ServiceSpec("shop", "s", {"a": "INT64", "b": "INT64"}, (ServedFeature("v", "x", "INT64", None, ("a",)),))
    link = RedisLink(redis_address(server.url), connections=1, seconds=1)
    with pytest.raises(ValueError, match="different lengths"):
        await _read(RedisReader(build(both), link, 1), {"a": [1], "b": [1, 2]})


async def test_nobody_there_is_said_at_once_and_not_asked_each_time(reader_at: Readers) -> None:
    refusals = 0

    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal refusals
        refusals += 1
        writer.transport.abort()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as nobody:
        reader = reader_at(nobody.sockets[0].getsockname()[1], seconds=1)
        for _ in range(1000):
            with pytest.raises(TransientError, match="does not answer"):
                await values_of(reader, [1])
    assert refusals < 20


async def test_whatever_hinders_connecting_is_told_and_not_tried_each_time(caplog: pytest.LogCaptureFixture) -> None:
    """A node that a cluster names is not checked beforehand."""
    link = RedisLink(redis_address("redis://h:1").at("h..x", 1), connections=1, seconds=1)
    for _ in range(100):
        with pytest.raises(TransientError, match=r"h..x:1 does not answer: UnicodeError: .*label empty"):
            await link.ask(command(b"PING"), 1, asyncio.get_running_loop().time() + 1)
    assert link._pause > 0, "the next attempt waits"
    await link.close()
    gc.collect()
    assert not caplog.records, "no task whose exception nobody retrieves"


async def test_a_restarted_redis_is_found_again(server: RedisServer, reader_at: Readers) -> None:
    reader = reader_at(server.url, seconds=1)
    assert await values_of(reader, [1, 299, 300]) == [1.0, 299.0, pytest.approx(np.nan, nan_ok=True)]
    server.stop()
    with pytest.raises(TransientError, match=f"127.0.0.1:{server.port} does not answer"):
        await values_of(reader, [1])
    server.start()
    fill(server.url)
    assert await until_answered(reader) < 5
    with server.client() as client:
        client.flushall()
    assert (await reader.read({"id": [1]}, ASKED)).status.tolist() == [[Status.UNKNOWN]]


async def test_a_cut_connection_is_replaced_within_the_read(proxy: WireProxy, reader_at: Readers) -> None:
    reader = reader_at(proxy.port)
    assert await values_of(reader, [1]) == [1.0]
    proxy.delay = lambda: 0.1
    reads = asyncio.gather(*(values_of(reader, [key]) for key in range(50)))
    await asyncio.sleep(0.03)
    proxy.cut()
    assert await reads == [[float(key)] for key in range(50)]


async def test_a_slow_redis_is_waited_for_within_the_time(proxy: WireProxy, reader_at: Readers) -> None:
    slow, hasty = reader_at(proxy.port, seconds=5), reader_at(proxy.port, seconds=0.05)
    assert await values_of(hasty, [1]) == [1.0]
    proxy.delay = lambda: 0.2
    assert await values_of(slow, [7]) == [7.0]
    with pytest.raises(TransientError, match="no answer in time"):
        await values_of(hasty, [1])
    proxy.delay = lambda: 0.0
    await until_answered(hasty)


async def test_a_silent_redis_costs_the_time_of_a_read(proxy: WireProxy, reader_at: Readers) -> None:
    reader = reader_at(proxy.port, seconds=0.2)
    assert await values_of(reader, [1]) == [1.0]
    proxy.silent = True
    outcomes = await asyncio.gather(*(values_of(reader, [1]) for _ in range(100)), return_exceptions=True)
    assert {type(each) for each in outcomes} == {TransientError}
    proxy.silent = False
    await until_answered(reader)
    assert proxy.live <= 3


async def test_late_replies_are_never_anothers(proxy: WireProxy, reader_at: Readers) -> None:
    reader, chance = reader_at(proxy.port, seconds=0.05), random.Random(7)
    proxy.delay = lambda: chance.choice([0, 0, 0, 0.002, 0.03, 0.2])
    answered = failed = 0

    async def ask() -> None:
        nonlocal answered, failed
        for _ in range(40):
            keys = [chance.randrange(300) for _ in range(chance.randrange(1, 9))]
            try:
                async with asyncio.timeout(chance.choice([0.01, 1])):
                    assert await values_of(reader, keys) == [float(key) for key in keys]
                answered += 1
            except (TransientError, TimeoutError):
                failed += 1
                await asyncio.sleep(0.01)

    await asyncio.gather(*(ask() for _ in range(20)))
    assert answered > 20
    assert failed > 20
    proxy.delay = lambda: 0.0
    await until_answered(reader)


async def test_who_stops_waiting_leaves_the_connection_whole(proxy: WireProxy, reader_at: Readers) -> None:
    reader = reader_at(proxy.port, connections=1)
    assert await values_of(reader, [1]) == [1.0]
    proxy.delay = lambda: 0.05
    reads = [asyncio.create_task(values_of(reader, [key, key + 1])) for key in range(60)]
    await asyncio.sleep(0.01)
    for task in reads[::2]:
        task.cancel()
    outcomes = await asyncio.gather(*reads, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) for each in outcomes[::2])
    assert outcomes[1::2] == [[float(key), float(key + 1)] for key in range(1, 60, 2)]
    assert proxy.accepted == 1


async def test_thousands_of_failing_reads_leave_no_connection(proxy: WireProxy, reader_at: Readers) -> None:
    reader, chance = reader_at(proxy.port, seconds=0.1), random.Random(3)

    async def ask() -> None:
        for _ in range(100):
            try:
                assert await values_of(reader, [5]) == [5.0]
            except TransientError:
                await asyncio.sleep(0.005)
            if chance.random() < 0.02:
                proxy.cut()

    await asyncio.gather(*(ask() for _ in range(30)))
    await until_answered(reader)
    assert proxy.live <= 2
    await reader.close()
    await asyncio.sleep(0.1)
    assert proxy.live == 0
    with pytest.raises(TransientError):
        await values_of(reader, [1])


async def burst(link: RedisLink, deadline: float = 5.0) -> None:
    """More at the same moment than one connection is idle for."""
    until = asyncio.get_running_loop().time() + deadline
    await asyncio.gather(*(link.ask(command(b"PING"), 1, until) for _ in range(50)))


async def both_open(link: RedisLink) -> None:
    """Wait for the second connection, which opens while the first is busy."""
    async with asyncio.timeout(10):
        while len(link._wires) < 2:
            await burst(link)
    assert [wire.open for wire in link._wires] == [True, True]


async def none_left(link: RedisLink) -> None:
    for _ in range(1000):
        if not link._wires:
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"{len(link._wires)} connections, of them {sum(wire.open for wire in link._wires)} open")


async def test_connections_cut_while_idle_come_back_both(server: RedisServer) -> None:
    link = RedisLink(redis_address(server.url), connections=2, seconds=1)
    for _ in range(5):
        await both_open(link)
        with server.client() as client:
            ours = [each["id"] for each in client.client_list() if each["name"] == "twinserve-online"]
            assert len(ours) == 2
            for one in ours:
                client.client_kill_filter(_id=one)
        await none_left(link)
    await burst(link)
    await link.close()


async def test_a_connection_whose_asker_has_gone_is_given_up_and_replaced(proxy: WireProxy) -> None:
    link = RedisLink(redis_address(f"redis://127.0.0.1:{proxy.port}/0"), connections=2, seconds=1)
    await both_open(link)
    proxy.silent = True
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await burst(link, 0.2)
    await none_left(link)
    proxy.silent = False
    await both_open(link)
    await link.close()


async def test_a_server_that_only_greets_is_left_alone_though_its_askers_have_gone() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1 << 16)
        writer.write(b"+OK\r\n")
        while await reader.read(1 << 16):
            pass
        writer.close()

    loop = asyncio.get_running_loop()
    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        link = RedisLink(redis_address(f"redis://127.0.0.1:{port}/0"), connections=2, seconds=0.4)
        with pytest.raises(TransientError, match="no answer in time"):
            for _ in range(30):
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await link.ask(command(b"PING"), 1, loop.time() + 0.06)
                await asyncio.sleep(0.05)
        await link.close()


async def test_too_many_reads_are_refused_not_queued(
    proxy: WireProxy, reader_at: Readers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twinserve.features.online_store.redis_link.QUEUED", 10)
    reader = reader_at(proxy.port, connections=1)
    assert await values_of(reader, [1]) == [1.0]
    proxy.delay = lambda: 0.1
    outcomes = await asyncio.gather(*(values_of(reader, [2]) for _ in range(50)), return_exceptions=True)
    assert sum(each == [2.0] for each in outcomes) == 10
    assert sum("10 reads wait" in str(each) for each in outcomes) == 40


async def test_what_redis_refuses_is_no_answer(server: RedisServer, reader_at: Readers) -> None:
    reader = reader_at(server.url)
    with server.client() as client:
        client.set(redis_key("shop", {"id": ("INT64", 1)}), "no hash")
    with pytest.raises(PermanentError, match=r"an entity key of v: WRONGTYPE .* Delete what is there"):
        await values_of(reader, [0, 1, 2])
    assert await values_of(reader, [0, 2]) == [0.0, 2.0], "the connection is as good as before"


async def test_a_user_who_may_not_read_one_key_may_read_the_others(server: RedisServer, reader_at: Readers) -> None:
    with server.client() as client:
        only_97 = "*a???????shop"  # its lowest byte is an "a"
        client.acl_setuser("one", enabled=True, passwords=["+pass"], keys=[only_97], commands=["+hmget"])
        client.acl_setuser("none", enabled=True, passwords=["+pass"], keys=["*"], commands=["+get"])
    reader = reader_at(f"redis://one:pass@127.0.0.1:{server.port}/0")
    with pytest.raises(PermanentError, match=r"an entity key of v: NOPERM .* all keys that end with"):
        await values_of(reader, [96, 97])
    assert await values_of(reader, [97]) == [97.0]
    with pytest.raises(TransientError, match="NOPERM"):
        await values_of(reader_at(f"redis://none:pass@127.0.0.1:{server.port}/0"), [1])


async def test_a_password_is_needed_and_never_told(tmp_path: Path, reader_at: Readers) -> None:
    with RedisServer(tmp_path / "locked", password="s3cret/@,x") as server:
        with server.client() as client:
            client.acl_setuser("reader", enabled=True, passwords=["+pass"], keys=["*"], commands=["+hmget", "+select"])
            client.select(3)
            fields = {event_time_field("v"): b"", feature_field("v", "x"): b""}
            client.hset(redis_key("shop", {"id": ("INT64", 1)}), mapping=fields)
        urls = [
            f"redis://:s3cret%2F%40,x@127.0.0.1:{server.port}/3",
            f"redis://reader:pass@127.0.0.1:{server.port}/3",
            f"unix://:s3cret%2F%40,x@{server.socket}?db=3",
        ]
        for url in urls:
            assert (await reader_at(url).read({"id": [1]}, ASKED)).status.tolist() == [[Status.NULL]]
        assert (await reader_at(urls[0][:-1] + "0").read({"id": [1]}, ASKED)).status.tolist() == [[Status.UNKNOWN]]
        for wrong, sign in ((":wr0ng@", "WRONGPASS"), ("", "NOAUTH|Authentication")):
            with pytest.raises(TransientError, match=sign) as refused:
                await values_of(reader_at(f"redis://{wrong}127.0.0.1:{server.port}/0"), [1])
            assert "wr0ng" not in str(refused.value)


async def test_tls_is_checked(server: RedisServer, reader_at: Readers, tmp_path: Path) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    async with WireProxy(server.port, context) as proxy:
        trusted = f"rediss://127.0.0.1:{proxy.port}/0?ssl_ca_certs={tmp_path / 'ca.pem'}"
        assert await values_of(reader_at(trusted), list(range(300))) == [float(key) for key in range(300)]
        with pytest.raises(TransientError, match="certificate verify failed"):
            await values_of(reader_at(f"rediss://127.0.0.1:{proxy.port}/0"), [1])
        with pytest.raises(TransientError):
            await values_of(reader_at(proxy.port), [1])


@pytest.mark.parametrize(
    "url",
    [
        "http://:secret@x",
        "redis://:secret@h:1/0?no_such=1",
        "rediss://:secret@h:1?ssl_ca_certs=/none",
        "redis://:secret@h..x:1/0",
        f"redis://:secret@{'a' * 64}:1/0",
    ],
)
def test_a_wrong_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(BadInput) as refused:
        redis_address(url)
    assert "secret" not in str(refused.value)


def test_uvloop_runs_it_too(server: RedisServer, build: Build) -> None:
    uvloop = pytest.importorskip("uvloop")

    async def read() -> list[float]:
        reader = RedisReader(
            build(FLOAT), RedisLink(redis_address(f"unix://{server.socket}"), connections=2, seconds=5), 5
        )
        try:
            parts = await asyncio.gather(*(values_of(reader, [key]) for key in range(100)))
        finally:
            await reader.close()
        return [value for part in parts for value in part]

    assert uvloop.run(read()) == [float(key) for key in range(100)]


def test_feast_takes_a_unix_socket(server: RedisServer) -> None:
    from feast.infra.online_stores.redis import RedisOnlineStore, RedisOnlineStoreConfig

    text = feast_connection_string(f"unix://{server.socket}?db=2")
    client = RedisOnlineStore()._get_client(RedisOnlineStoreConfig(connection_string=text))
    client.set("where", "here")
    with server.client() as other:
        other.select(2)
        assert other.get("where") == b"here"


def test_reading_from_redis_imports_no_feast(applied: Settings, redis_url: str, tmp_path: Path) -> None:
    (tmp_path / "contract.json").write_text(contract_of(applied, redis_url).to_json())
    program = """
import asyncio, sys
from pathlib import Path
from twinserve.contract import Contract
from twinserve.features.online import open_reader
from twinserve.settings import load_settings

async def main():
    contract = Contract.from_json(Path(sys.argv[1]).read_text())
    reader = open_reader(contract, load_settings(), sys.argv[2], seconds=5)
    rows = await reader.read({"store_id": [1], "city": ["x"]}, 0)
    await reader.close()
    print(rows.status.tolist(), sorted({"feast", "mlflow", "pandas", "pyarrow"} & set(sys.modules)))

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "contract.json"), redis_url],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.split("] ")[-1].strip() == "[]", done.stdout
