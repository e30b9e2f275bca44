"""Reads from a real Redis Cluster of three nodes: slots that move, nodes that go."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis.crc import key_slot
from redis_server import RedisServer, free_port

from twinserve.contract import Contract
from twinserve.errors import PermanentError, TransientError
from twinserve.features.feast_repo.views import ServedFeature, ServiceSpec
from twinserve.features.online_store.feature_reader import SomeKeysUnavailable
from twinserve.features.online_store.redis_cluster import ClusterLink
from twinserve.features.online_store.redis_reader import RedisReader
from twinserve.features.redis.address import redis_address
from twinserve.features.redis.layout import event_time_field, feature_field, redis_key

pytestmark = pytest.mark.integration
KEYS = list(range(200))
ASKED = 1_000_000  # µs: the event time of all rows, the second 1
SERVICE = ServiceSpec("shop", "ranking", {"id": "INT64"}, (ServedFeature("v", "x", "DOUBLE", None, ("id",)),))
SLOTS = 16384


def name_of(key: int) -> bytes:
    return redis_key("shop", {"id": ("INT64", key)})


class Cluster:
    """Three servers, the slots shared out evenly; key k has the value k."""

    def __init__(self, servers: list[RedisServer]) -> None:
        self.servers = servers
        self.clients: list[Any] = [server.client() for server in servers]
        self.ids = [client.cluster("MYID").decode() for client in self.clients]

    def meet(self) -> None:
        bounds = [0, SLOTS // 3, 2 * SLOTS // 3, SLOTS]
        for at, client in enumerate(self.clients):
            client.execute_command("CLUSTER", "ADDSLOTS", *range(bounds[at], bounds[at + 1]))
            client.execute_command("CLUSTER", "MEET", "127.0.0.1", self.servers[0].port)
        until(lambda: all(client.cluster("INFO")["cluster_state"] == "ok" for client in self.clients))
        for key in KEYS:
            value = b"\x29" + np.float64(key).tobytes()
            fields = {feature_field("v", "x"): value, event_time_field("v"): b"\x08\x01"}
            slot = key_slot(name_of(key))
            self.clients[next(at for at in range(3) if slot < bounds[at + 1])].hset(name_of(key), mapping=fields)

    def move(self, key: int, source: int, target: int) -> None:
        """The slot of a key with all its keys from one node to another, step by step, as `redis-cli --cluster` does."""
        slot, ids = key_slot(name_of(key)), self.ids
        self.clients[target].execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
        self.clients[source].execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
        time.sleep(0.05)
        while names := self.clients[source].execute_command("CLUSTER", "GETKEYSINSLOT", slot, 10):
            for name in names:
                self.clients[source].migrate("127.0.0.1", self.servers[target].port, name, 0, 5000)
        time.sleep(0.05)
        for at in (target, source):
            self.clients[at].execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[target])

    def owner(self, key: int) -> int:
        return next(at for at, client in enumerate(self.clients) if client.cluster("COUNTKEYSINSLOT", slot_of(key)))


def slot_of(key: int) -> int:
    return key_slot(name_of(key))


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with ExitStack() as stack:
        servers = []
        for at in range(3):
            port = free_port()
            while port > 55_000:  # the bus of the cluster is 10,000 above
                port = free_port() % 30_000 + 20_000
            options = ["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"]
            options += ["--cluster-node-timeout", "2000", "--cluster-require-full-coverage", "no"]
            servers.append(stack.enter_context(RedisServer(tmp_path / f"node{at}", *options, port=port)))
        made = Cluster(servers)
        made.meet()
        yield made
        for client in made.clients:
            client.close()


@pytest.fixture
async def reader(cluster: Cluster, build: Callable[..., Contract]) -> AsyncIterator[RedisReader]:
    link = ClusterLink(redis_address(cluster.servers[0].url), connections=2, seconds=2)
    reader = RedisReader(build(SERVICE), link, 2)
    yield reader
    await reader.close()
    assert [t for t in asyncio.all_tasks() if "redis_link" in repr(t) or "redis_cluster" in repr(t)] == []


async def read(reader: RedisReader, keys: list[int]) -> list[float]:
    found: list[float] = (await reader.read({"id": keys}, ASKED)).values[:, 0].tolist()
    return found


async def test_every_node_is_asked_for_its_own(cluster: Cluster, reader: RedisReader) -> None:
    assert len({cluster.owner(key) for key in KEYS}) == 3
    assert await read(reader, KEYS[::-1]) == [float(key) for key in KEYS[::-1]]
    assert await read(reader, [5, 5, 9, 5]) == [5.0, 5.0, 9.0, 5.0]
    found = await asyncio.gather(*(read(reader, [key, 0]) for key in KEYS))
    assert found == [[float(key), 0.0] for key in KEYS]


async def test_slots_move_under_reads(cluster: Cluster, reader: RedisReader) -> None:
    reads, moving = 0, True

    async def ask() -> None:
        nonlocal reads
        while moving:
            assert await read(reader, KEYS[:20]) == [float(key) for key in KEYS[:20]]
            reads += 1

    asking = [asyncio.create_task(ask()) for _ in range(4)]
    for key in KEYS[:8]:
        source = cluster.owner(key)
        await asyncio.to_thread(cluster.move, key, source, (source + 1) % 3)
    moving = False
    await asyncio.gather(*asking)
    assert reads > 20


async def test_without_a_node_the_others_answer_and_it_is_found_again(cluster: Cluster, reader: RedisReader) -> None:
    assert await read(reader, KEYS) == [float(key) for key in KEYS]
    gone = cluster.owner(3)
    elsewhere = [key for key in KEYS if cluster.owner(key) != gone]
    cluster.servers[gone].stop()
    with pytest.raises(TransientError):
        await read(reader, [3])
    assert await read(reader, elsewhere) == [float(key) for key in elsewhere]
    with pytest.raises(SomeKeysUnavailable, match="does not answer"):
        await read(reader, [elsewhere[0], 3])
    with pytest.raises(TransientError) as alone:
        await read(reader, [3])
    assert not isinstance(alone.value, SomeKeysUnavailable), "nothing has answered"
    cluster.servers[gone].start()
    deadline = time.monotonic() + 10
    while True:  # it comes back without its keys, which is no error
        try:
            assert np.isnan(await read(reader, [3])).all()
            break
        except TransientError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)


async def test_what_a_node_refuses_is_of_its_keys_only(cluster: Cluster, reader: RedisReader) -> None:
    refusing = cluster.owner(3)
    other = next(key for key in KEYS if cluster.owner(key) != refusing)
    cluster.clients[refusing].execute_command("ACL", "SETUSER", "default", "-hmget")
    with pytest.raises(SomeKeysUnavailable, match=r"NOPERM.*hmget"):
        await read(reader, [3, other])
    with pytest.raises(TransientError, match="NOPERM") as alone:
        await read(reader, [3])
    assert not isinstance(alone.value, SomeKeysUnavailable)
    cluster.clients[refusing].execute_command("ACL", "SETUSER", "default", "+hmget")
    cluster.clients[refusing].set(name_of(3), "no hash")
    with pytest.raises(PermanentError, match=r"an entity key of v: WRONGTYPE"):
        await read(reader, [3, other])
    assert await read(reader, [other]) == [float(other)]


async def test_nobody_there(build: Callable[..., Contract]) -> None:
    link = ClusterLink(redis_address("redis://127.0.0.1:1/0"), connections=1, seconds=1)
    reader = RedisReader(build(SERVICE), link, 1)
    with pytest.raises(TransientError, match=r"no node of the Redis Cluster at 127.0.0.1:1 gives its slots: .*Connect"):
        await read(reader, [1])
    await reader.close()


async def test_a_server_that_is_no_cluster_says_so(redis_url: str, build: Callable[..., Contract]) -> None:
    reader = RedisReader(build(SERVICE), ClusterLink(redis_address(redis_url), connections=1, seconds=1), 1)
    with pytest.raises(TransientError, match="cluster support disabled"):
        await read(reader, [1])
    await reader.close()
