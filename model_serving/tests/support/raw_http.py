"""A worker's HTTP server around a small application, in a thread; and bytes sent to it as they are."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send
from waiting import until

from model_serving.online.http.connections.connection_limits import Limits, Register
from model_serving.online.http.connections.protocol import Connection
from model_serving.online.inference.schemas import Answer


@dataclass
class Told:
    """What a register counts."""

    refused: Counter[str] = field(default_factory=Counter)
    closed: Counter[str] = field(default_factory=Counter)


@dataclass
class Listening:
    """A server that runs."""

    port: int
    register: Register
    told: Told
    seen: list[dict[str, Any]]
    go_on: threading.Event

    def open(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def said(self, *pieces: bytes, half_closed: bool = False) -> bytes:
        """All that it says to these bytes, until it closes."""
        with self.open() as client:
            for piece in pieces:
                client.sendall(piece)
            if half_closed:
                client.shutdown(socket.SHUT_WR)
            return until_closed(client)


def until_closed(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(65536), b""))


def next_answer(client: socket.socket) -> Answered:
    """The one that comes next, of a server that waits for the next request then."""
    said = b""
    while not said.endswith(b"}"):
        said += client.recv(65536)
    (found,) = answers(said)
    return found


def head(*more: str, path: str = "/echo", method: str = "POST") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *more, "", ""]).encode("latin-1")


def post(body: bytes, *more: str, path: str = "/echo", last: bool = False) -> bytes:
    closing = ["Connection: close"] if last else []
    return head(f"Content-Length: {len(body)}", *closing, *more, path=path) + body


@dataclass
class Answered:
    """One response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """Of a refusal, which has the shape of every answer."""
        assert set(self.json) == set(Answer.model_fields)
        return str(self.json["error"]["code"])


def answers(said: bytes) -> list[Answered]:
    """The responses in these bytes, which must be nothing else; none without its length."""
    found = []
    while said:
        top, _, rest = said.partition(b"\r\n\r\n")
        first, *lines = top.decode("latin-1").split("\r\n")
        assert first.startswith("HTTP/1.1 "), said[:200]
        status = int(first.split(" ")[1])
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers["content-length"]) if status >= 200 else 0
        assert len(rest) >= length
        found.append(Answered(status, headers, rest[:length]))
        said = rest[length:]
    return found


@contextmanager
def listening(limits: Limits, loop: str, *, large: int = 1) -> Iterator[Listening]:
    """The server.

    Args:
        loop: `uvloop`, as a worker has it, or `asyncio`.
        large: how many times over it says what came.
    """
    told, seen, go_on = Told(), list[dict[str, Any]](), threading.Event()
    register = Register(limits, lambda code: told.refused.update([code]), lambda why: told.closed.update([why]))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", scope["path"] != "/early"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                seen.append({"gone": scope["path"]})
                return
            body, more = body + message["body"], message["more_body"]
        while scope["path"] == "/wait" and not go_on.is_set():  # noqa: ASYNC110 - of another thread
            await asyncio.sleep(0.005)
        headers = [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"]]
        what = {"method": scope["method"], "path": scope["path"], "headers": headers, "body": body.decode("latin-1")}
        seen.append(what)
        text = json.dumps(what).encode() * large
        length = (b"content-length", str(len(text)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": text})

    config = uvicorn.Config(
        app, port=0, lifespan="off", log_config=None, loop=loop,
        http=partial(Connection, register),  # type: ignore[arg-type] # a class with its first argument
    )  # fmt: skip
    server = uvicorn.Server(config)

    async def run() -> None:
        looking = asyncio.create_task(register.look_after())
        await server.serve()
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking

    factory = config.get_loop_factory()
    with asyncio.Runner(loop_factory=factory) as runner:
        thread = threading.Thread(target=lambda: runner.run(run()), daemon=True)
        thread.start()
        until("it listens", lambda: server.started)
        yield Listening(server.servers[0].sockets[0].getsockname()[1], register, told, seen, go_on)
        go_on.set()
        server.force_exit = server.should_exit = True
        thread.join(20)
    assert not thread.is_alive()
