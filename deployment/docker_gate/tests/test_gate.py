"""The gate on a real port, before a small server of our own on a real Unix socket that notes every byte it gets.

The server stands where the engine would: what reaches it is what would have reached the engine.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from docker_gate.gate import LARGEST_BODY, Gate
from docker_gate.settings import GateSettings

ID = "a" * 64
TASK = {"Id": ID, "Config": {"Labels": {"io.twinserve.task": "d.t"}}, "HostConfig": {"NetworkMode": "net"}}
CREATE = {
    "Image": "p/x:1", "Cmd": ["x"], "Env": ["PASSWORD=s3cret"], "Labels": {"io.twinserve.task": "d.t"},
    "HostConfig": {"NetworkMode": "net", "Memory": 1, "PidsLimit": 1},
}  # fmt: skip
Script = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def answer(status: str, body: object = None, headers: str = "") -> bytes:
    """An answer of the engine."""
    content = b"" if body is None else json.dumps(body).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(content)}\r\n{headers}\r\n".encode() + content


class Engine:
    """Notes what it is asked; gives the answers that it was told to, by the request's first line."""

    def __init__(self, socket: str) -> None:
        self.socket = socket
        self.asked: list[bytes] = []
        self.closed = asyncio.Event()
        self.answers: dict[bytes, bytes] = {f"GET /v1.41/containers/{ID}/json".encode(): answer("200 OK", TASK)}
        self.then: Script | None = None

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        self.asked.append(head + await reader.readexactly(length))
        first = head.split(b" HTTP/1.1", 1)[0]
        writer.write(self.answers.get(first, answer("404 Not Found", {"message": "No such container"})))
        await writer.drain()
        if self.then and b"/json" not in first:
            await self.then(head, reader, writer)
        writer.close()

    def calls(self) -> list[str]:
        """The first lines of what it was asked."""
        return [asked.split(b" HTTP/1.1", 1)[0].decode() for asked in self.asked]


class World:
    """A gate and what stands behind it."""

    def __init__(self, engine: Engine, port: int) -> None:
        self.engine, self.port = engine, port

    async def open(self, text: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Say something to the gate."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(text)
        return reader, writer

    async def ask(self, text: bytes) -> bytes:
        """Say something, and give all that comes back."""
        reader, writer = await self.open(text)
        try:
            return await asyncio.wait_for(reader.read(), 10)
        finally:
            writer.close()


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    """It listens on a Unix socket."""
    made = Engine(str(tmp_path / "engine.sock"))
    server = await asyncio.start_unix_server(made.take, made.socket)
    yield made
    server.close()


@pytest.fixture
async def world(engine: Engine) -> AsyncIterator[World]:
    """A gate with room for four calls, before the engine."""
    settings = GateSettings("p", "vol", "net", 1000, engine.socket, "127.0.0.1", 0)
    server = await Gate(settings, most_calls=4, request_seconds=0.5).start()
    yield World(engine, server.sockets[0].getsockname()[1])
    server.close()


def call(method: str, target: str, headers: str = "", body: bytes = b"") -> bytes:
    """A request as a client sends it."""
    return f"{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


def create(config: object = CREATE) -> bytes:
    """A request to create a container."""
    return call("POST", "/v1.41/containers/create?name=task-a", body=json.dumps(config).encode())


async def logged(caplog: pytest.LogCaptureFixture, text: str) -> None:
    """Wait for it: the gate notes a call when it is over, which is after its answer."""
    for _ in range(500):
        if text in caplog.text:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(caplog.text)


async def test_an_answer_comes_back_and_the_connection_ends(world: World) -> None:
    world.engine.answers[b"GET /version"] = answer("200 OK", {"ApiVersion": "1.41"}, "Keep-Alive: x\r\n")
    got = await world.ask(call("GET", "/version"))
    assert got.startswith(b"HTTP/1.1 200")
    assert b"Connection: close" in got
    assert b"eep-" not in got
    assert got.endswith(b'{"ApiVersion": "1.41"}')


async def test_a_body_is_forwarded_as_it_was_understood(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world.engine.answers[b"POST /v1.41/containers/create?name=task-a"] = answer("201 Created", {"Id": ID})
    assert b'{"Id"' in await world.ask(create())
    head, _, body = world.engine.asked[0].partition(b"\r\n\r\n")
    assert json.loads(body)["HostConfig"]["CapDrop"] == ["ALL"]
    assert b"Host: docker" in head
    await logged(caplog, "image=p/x:1 task='d.t' -> 201")
    assert "s3cret" not in caplog.text


async def test_a_refusal_reads_like_dockers_own_and_nothing_reaches_the_engine(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    got = await world.ask(create({**CREATE, "HostConfig": {**CREATE["HostConfig"], "Privileged": True}}))  # type: ignore[dict-item]
    assert got.startswith(b"HTTP/1.1 403")
    assert json.loads(got.partition(b"\r\n\r\n")[2]) == {"message": "docker-gate: HostConfig.Privileged=true"}
    assert world.engine.asked == []
    await logged(caplog, "403 HostConfig.Privileged=true")


@pytest.mark.parametrize(
    "other",
    [
        {**TASK, "Config": {"Labels": {}}}, {**TASK, "Config": {"Labels": None}}, {**TASK, "Id": "../x"},
        {**TASK, "HostConfig": {"NetworkMode": "host"}}, {},
    ],
)  # fmt: skip
@pytest.mark.parametrize("action", ["start", "stop", "wait", "attach", ""])
async def test_a_container_that_is_not_a_tasks_is_only_looked_at(world: World, other: object, action: str) -> None:
    world.engine.answers[b"GET /v1.41/containers/other/json"] = answer("200 OK", other)
    method = "POST" if action else "DELETE"
    got = await world.ask(call(method, f"/v1.41/containers/other/{action}".rstrip("/")))
    assert got.startswith(b"HTTP/1.1 403")
    assert world.engine.calls() == ["GET /v1.41/containers/other/json"]


async def test_a_container_is_acted_on_by_the_id_that_was_looked_at(world: World) -> None:
    world.engine.answers[b"GET /v1.41/containers/name/json"] = answer("200 OK", TASK)
    await world.ask(call("POST", "/v1.41/containers/name/start"))
    assert world.engine.calls()[1:] == [f"POST /v1.41/containers/{ID}/start"]


async def test_no_such_container_is_said_as_the_engine_says_it(world: World) -> None:
    assert (await world.ask(call("GET", "/v1.41/containers/none/json"))).startswith(b"HTTP/1.1 404")


async def test_a_list_shows_containers_of_tasks_only(world: World) -> None:
    await world.ask(call("GET", "/v1.41/containers/json?all=1&filters=%7B%22label%22%3A%5B%22x%22%5D%7D"))
    assert world.engine.calls() == [
        "GET /v1.41/containers/json?all=1&filters="
        "%7B%22label%22%3A+%5B%22io.twinserve.task%22%5D%2C+%22network%22%3A+%5B%22net%22%5D%7D"
    ]


SECOND = call("POST", "/v1.41/build")


@pytest.mark.parametrize(
    "text",
    [
        call("GET", "/_ping") + SECOND,
        b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n" + SECOND,
        b"GET /_ping HTTP/1.0\r\n\r\n" + SECOND,
    ],
)
async def test_a_second_request_behind_the_first_goes_nowhere(world: World, text: bytes) -> None:
    await world.ask(text)
    assert world.engine.calls() == ["GET /_ping"]
    assert not any(b"build" in asked for asked in world.engine.asked)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"GET /_ping HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"411"),
        (b"GET /_ping HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", b"400"),
        (b"GET /_ping HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n", b"501"),
        (b"GET /_ping HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\nx", b"400"),
        (b"GET /_ping HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"411"),
        (b"GET /_ping\r\n\r\n", b"400"),
        (b"nonsense\r\n\r\n", b"400"),
        (call("GET", "/_ping", body=b"x"), b"403"),
        (call("POST", f"/v1.41/containers/{ID}/start", body=b'{"Privileged": true}'), b"403"),
        (call("GET", "/_ping", f"X: {'x' * 100_000}\r\n"), b"431"),
        (call("POST", "/v1.41/containers/create", body=b"x" * (LARGEST_BODY + 1)), b"413"),
    ],
)
async def test_an_odd_request_is_refused_before_the_engine_hears_of_it(
    world: World, text: bytes, status: bytes
) -> None:
    got = await world.ask(text)
    assert got.startswith(b"HTTP/1.1 " + status)
    assert world.engine.asked == []


async def test_a_slow_caller_is_sent_away(world: World) -> None:
    assert (await world.ask(b"GET /_ping HTTP/1.1\r\nHo")).startswith(b"HTTP/1.1 408")
    assert (await world.ask(create()[:-3])).startswith(b"HTTP/1.1 408")


async def test_no_more_calls_than_there_is_room_for(world: World) -> None:
    waiting = [await world.open(b"") for _ in range(4)]
    await asyncio.sleep(0.1)
    assert (await world.ask(call("GET", "/_ping"))).startswith(b"HTTP/1.1 503")
    for _, writer in waiting:
        writer.close()
    await asyncio.sleep(0.1)
    world.engine.answers[b"GET /_ping"] = answer("200 OK")
    assert (await world.ask(call("GET", "/_ping"))).startswith(b"HTTP/1.1 200")


async def test_an_answer_is_passed_on_as_it_comes(world: World) -> None:
    more = asyncio.Event()

    async def stream(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await more.wait()
        writer.write(b"3\r\nend\r\n0\r\n\r\n")
        await writer.drain()

    world.engine.answers[f"POST /v1.41/containers/{ID}/wait".encode()] = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n"
    )
    world.engine.then = stream
    reader, writer = await world.open(call("POST", f"/v1.41/containers/{ID}/wait"))
    assert await asyncio.wait_for(reader.readuntil(b"begin"), 5)
    more.set()
    assert b"end" in await asyncio.wait_for(reader.read(), 5)
    writer.close()


ATTACH = f"/v1.41/containers/{ID}/attach?stdout=1"
UPGRADE = "Connection: Upgrade\r\nUpgrade: tcp\r\n"
UPGRADED = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"


async def test_an_attached_stream_flows_one_way(world: World) -> None:
    heard = bytearray()

    async def attached(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert b"Upgrade: tcp" in head
        writer.write(b"first")
        await writer.drain()
        heard.extend(await reader.read())  # until the gate hangs up
        world.engine.closed.set()

    world.engine.answers[f"POST {ATTACH}".encode()] = UPGRADED + b"early "
    world.engine.then = attached
    reader, writer = await world.open(call("POST", ATTACH, UPGRADE) + b"typed")
    got = await asyncio.wait_for(reader.readuntil(b"first"), 5)
    assert got.startswith(b"HTTP/1.1 101")
    assert got.endswith(b"\r\n\r\nearly first")
    writer.write(b"typed later" + SECOND)
    await writer.drain()
    await asyncio.sleep(0.1)
    writer.close()
    # who listened is gone: the engine's side ends too
    await asyncio.wait_for(world.engine.closed.wait(), 5)
    assert bytes(heard) == b""


async def test_an_attach_that_the_engine_declines_is_an_ordinary_answer(world: World) -> None:
    world.engine.answers[f"POST {ATTACH}".encode()] = answer("409 Conflict", {"message": "not running"})
    got = await world.ask(call("POST", ATTACH, UPGRADE))
    assert got.startswith(b"HTTP/1.1 409")
    assert got.endswith(b'{"message": "not running"}')


async def test_only_attach_may_become_a_stream(world: World) -> None:
    world.engine.answers[b"GET /version"] = answer("200 OK", {})
    assert (await world.ask(call("GET", "/version", UPGRADE))).startswith(b"HTTP/1.1 200")
    assert b"pgrade" not in world.engine.asked[0]


@pytest.mark.parametrize("said", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000])
async def test_an_engine_that_makes_no_sense_is_a_bad_gateway(world: World, said: bytes) -> None:
    world.engine.answers[b"GET /_ping"] = said
    assert (await world.ask(call("GET", "/_ping"))).startswith(b"HTTP/1.1 502")


async def test_an_engine_that_is_down_is_named(tmp_path: Path) -> None:
    settings = GateSettings("p", "vol", "net", 1000, str(tmp_path / "none.sock"), "127.0.0.1", 0)
    server = await Gate(settings).start()
    got = await World(Engine(""), server.sockets[0].getsockname()[1]).ask(call("GET", "/_ping"))
    server.close()
    assert got.startswith(b"HTTP/1.1 502")
    assert b"the Docker engine does not answer at" in got


async def test_an_answer_that_breaks_off_is_broken_off(world: World) -> None:
    world.engine.answers[b"GET /version"] = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"
    got = await world.ask(call("GET", "/version"))
    assert b"half" in got
    assert b"100" in got.partition(b"\r\n\r\n")[0]


async def test_a_caller_who_takes_nothing_is_cut_off(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("docker_gate.peer.SLOWEST_WRITE_SECONDS", 0.2)

    async def flood(_: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                writer.write(b"x" * 65_536)
                await writer.drain()
        except OSError:
            world.engine.closed.set()

    world.engine.answers[f"POST {ATTACH}".encode()] = UPGRADED
    world.engine.then = flood
    _, writer = await world.open(call("POST", ATTACH, UPGRADE))
    await asyncio.wait_for(world.engine.closed.wait(), 10)
    writer.close()
