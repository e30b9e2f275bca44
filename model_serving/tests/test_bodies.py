"""Bodies that arrive in pieces, and how much of them is held at once; with uvicorn, as a worker has it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import uvicorn
from serving_worlds import FRESH, World
from starlette.types import Message

from model_serving.online.composition import serving_builder
from model_serving.online.http.body_reader import LARGE_AT_ONCE, SMALL_BYTES, Bodies, ClientGone
from model_serving.online.http.connections.connection_limits import Limits, Register
from model_serving.online.http.connections.protocol import Connection
from model_serving.online.http.endpoint import InferenceEndpoint
from model_serving.online.inference.readiness import Readiness
from model_serving.online.inference.refusals import Refusal
from model_serving.online.telemetry.metrics import InferenceMetrics

LIMIT = 2 * SMALL_BYTES
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def pieces(*parts: bytes, end: bool = True) -> Callable[[], Awaitable[Message]]:
    """What a server hands on of a body; if it does not end, its client is gone."""
    messages: list[Message] = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages.append({"type": "http.request", "body": b""} if end else {"type": "http.disconnect"})

    async def receive() -> Message:
        return messages.pop(0)

    return receive


@pytest.mark.parametrize("size", [1, 1000, SMALL_BYTES - 1, SMALL_BYTES, LIMIT])
async def test_a_body_is_its_pieces(size: int) -> None:
    bodies, whole = Bodies(LIMIT), bytes(range(256)) * (LIMIT // 256)
    parts = [whole[at : at + size] for at in range(0, LIMIT, size)][:2000]
    assert await bodies.read(pieces(*parts), 0) == b"".join(parts)
    assert bodies.held == 0


async def test_it_ends_at_the_limit_wherever_that_is_seen() -> None:
    bodies = Bodies(LIMIT)
    for parts in ([bytes(LIMIT + 1)], [bytes(LIMIT), b"x"], [b"", bytes(SMALL_BYTES + 1), bytes(SMALL_BYTES)]):
        with pytest.raises(Refusal) as refused:
            await bodies.read(pieces(*parts), 0)
        assert refused.value.code == "body_too_large"
    with pytest.raises(ClientGone):
        await bodies.read(pieces(bytes(LIMIT), end=False), 0)
    assert bodies.held == 0


@asynccontextmanager
async def served(world: World) -> AsyncIterator[tuple[InferenceEndpoint, int]]:
    """`/inference` alone, on a port."""
    settings = type(world.settings)(**world.settings.model_dump() | {"redis_url": world.redis_url})
    metrics, readiness = InferenceMetrics(), Readiness()
    readiness.serving = await asyncio.to_thread(serving_builder(settings, metrics))
    endpoint = InferenceEndpoint(readiness, metrics, max_body_bytes=LIMIT, most_at_once=8, note_access=lambda *_: None)
    register = Register(Limits(), lambda _: None, lambda _: None)
    protocol: Any = partial(Connection, register)
    server = uvicorn.Server(uvicorn.Config(endpoint, port=0, lifespan="off", log_level="error", http=protocol))
    running = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0.01)
    yield endpoint, server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await running
    await readiness.serving.batcher.close()


async def begun(port: int, body: bytes, length: int) -> Streams:
    """A connection with a request that has begun, and so much of its body."""
    connection = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /inference HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    connection[1].write(head.encode() + body)
    await connection[1].drain()
    return connection


@pytest.mark.integration
async def test_large_bodies_that_do_not_end_fill_no_memory_and_stop_no_small_one(rides: World) -> None:
    small = json.dumps({"request_id": "r", "driver_ids": FRESH}).encode()
    most = LARGE_AT_ONCE * LIMIT
    fit = most // (LIMIT - 1 - SMALL_BYTES)
    async with served(rides) as (endpoint, port), asyncio.timeout(60):
        slow = await begun(port, small[:9], len(small))
        held = [await begun(port, bytes(LIMIT - 1), LIMIT) for _ in range(fit + 20)]
        heads = [asyncio.create_task(reader.readuntil(b"}")) for reader, _ in held]
        async for _ in moments():
            assert endpoint.bodies.held <= most
            if sum(head.done() for head in heads) >= 20:
                break
        told = [head.result() for head in heads if head.done()]
        assert len(told) == 20
        assert all(answer.startswith(b"HTTP/1.1 503 ") and b'"overloaded"' in answer for answer in told)
        assert all(b"retry-after: 1\r\n" in answer for answer in told)

        slow[1].write(small[9:])
        assert (await slow[0].readline()).startswith(b"HTTP/1.1 200 ")
        for _, writer in [*held, slow]:
            writer.close()
        await asyncio.gather(*heads, return_exceptions=True)
        async for _ in moments():
            if endpoint.bodies.held == 0:
                break


async def moments() -> AsyncIterator[None]:
    while True:
        await asyncio.sleep(0.01)
        yield
