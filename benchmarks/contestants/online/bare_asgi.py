"""The limit: what one Python process can do at best with the same reads and the same model.

One connection to Redis, one pipelined HMGET for each item, replies parsed by hiredis, values cut out of Feast's bytes
without protobuf objects, NumPy. It validates nothing, counts nothing, logs nothing, has no time limit, and does not
reconnect. Layout: "Redis online store format" in Feast's documentation.
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import hiredis
import mmh3
import numpy as np

Message = MutableMapping[str, Any]
FLOAT_CELL = np.dtype([("tag", "u1"), ("value", "<f4")])
MANY = 64
OK = {"type": "http.response.start", "status": 200}


class Redis(asyncio.Protocol):
    """One connection; whoever asks first is answered first."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader()
        self._waiting: deque[tuple[int, list[Any], asyncio.Future[list[Any]]]] = deque()

    def connection_made(self, transport: Any) -> None:
        self._write = transport.write

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while self._waiting:
            wanted, got, answer = self._waiting[0]
            while len(got) < wanted:
                reply = self._reader.gets()
                if reply is False:
                    return
                got.append(reply)
            self._waiting.popleft()
            answer.set_result(got)

    def ask(self, commands: bytes, replies: int) -> asyncio.Future[list[Any]]:
        """Send commands; the future gets so many replies."""
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append((replies, [], answer))
        self._write(commands)
        return answer


class Plan:
    """Commands from item ids, a matrix from replies: float columns first, then integers."""

    def __init__(self, words: dict[str, Any]) -> None:
        names, kinds = words["features"].split(","), words["dtypes"]
        self.order = sorted(range(len(names)), key=lambda place: kinds[place] == "INT64")
        self.floats = kinds.count("FLOAT")
        self.width = len(names)
        fields = [struct.pack("<I", mmh3.hash(f"{words['view']}:{names[i]}", signed=False)) for i in self.order]
        key = words["keys"].encode()
        head = struct.pack("<IIII", 1, 2, len(key), 0)[:12] + key + struct.pack("<II", 4, 8)
        project = b"benchmarks"
        size = len(head) + 8 + len(project)
        self.before = b"*%d\r\n$5\r\nHMGET\r\n$%d\r\n%b" % (self.width + 2, size, head)
        self.after = project + b"\r\n" + b"".join(b"$4\r\n%b\r\n" % field for field in fields)

    def commands(self, items: list[int]) -> bytes:
        """One HMGET for each."""
        between = self.after + self.before
        return (
            self.before
            + between.join(struct.pack(f"<{len(items)}q", *items)[i : i + 8] for i in range(0, 8 * len(items), 8))
            + self.after
        )

    def matrix(self, replies: list[list[bytes]]) -> Any:
        """(items, features) float64, in this plan's order; all items are taken to be known."""
        rows = np.empty((len(replies), self.width))
        cut = self.floats
        cells = np.frombuffer(b"".join(chain.from_iterable(reply[:cut] for reply in replies)), FLOAT_CELL)
        rows[:, :cut] = cells["value"].reshape(len(replies), cut)
        if cut < self.width:
            rows[:, cut:] = _integers([cell for reply in replies for cell in reply[cut:]]).reshape(len(replies), -1)
        return rows


def _integers(cells: list[bytes]) -> Any:
    """Numbers of int64 values: one by one where they are few, byte by byte of all at once where they are many."""
    if len(cells) < MANY:
        return np.array([_integer(cell) for cell in cells])
    sizes = np.fromiter(map(len, cells), np.int64, len(cells))
    ends = np.cumsum(sizes)
    content, starts = np.frombuffer(b"".join(cells), np.uint8), ends - sizes
    numbers = np.zeros(len(cells), np.int64)
    for place in range(1, int(sizes.max())):
        there = sizes > place
        numbers[there] |= (content[starts[there] + place].astype(np.int64) & 0x7F) << 7 * (place - 1)
    return numbers


def _integer(cell: bytes) -> int:
    """Of a Value with an int64, 0 to 2^63: its varint."""
    number = 0
    for place, byte in enumerate(cell[1:]):
        number |= (byte & 0x7F) << 7 * place
    return number


def scorer(words: dict[str, Any], order: list[int]) -> Callable[[Any], Any]:
    """Probabilities from a matrix whose columns stand in `order`."""
    if "weights" in words:
        weights, intercept = np.array(words["weights"])[order], words["intercept"]
        return lambda rows: 1 / (1 + np.exp(-(rows @ weights + intercept)))
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(words["onnx"], options, providers=["CPUExecutionProvider"])
    name, column, back = session.get_inputs()[0].name, words["column"], np.argsort(order)
    sign = -1 if words["link"] == "logit" else 1
    return lambda rows: 1 / (1 + np.exp(sign * session.run(None, {name: rows[:, back]})[0][:, column]))


class Service:
    """An ASGI application."""

    def __init__(self) -> None:
        words = json.loads(Path("model.json").read_text(encoding="utf-8"))
        self._plan = Plan(words)
        self._score = scorer(words, self._plan.order)
        self._url = urlsplit(words["redis_url"])
        self._redis = Redis()

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Answer any path as /inference, a request without a body as /readyz."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        content = await self._answer(json.loads(body)) if body else b"ready"
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
        await send({**OK, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def _answer(self, request: dict[str, Any]) -> bytes:
        items = request["item_ids"]
        scores = self._score(self._plan.matrix(await self._redis.ask(self._plan.commands(items), len(items))))
        best = int(scores.argmax())
        found = {"request_id": request["request_id"], "prediction": items[best], "score": float(scores[best])}
        return json.dumps(found).encode()

    async def _lifespan(
        self, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        await receive()
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self._redis, self._url.hostname, self._url.port)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})


app = Service
