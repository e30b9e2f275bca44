"""One start of one contestant: its answers compared, warmed up, measured."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.online.contestants import Contestant
from benchmarks.online.load import Load
from benchmarks.online.requests import bodies, write_bodies
from benchmarks.online.server import Server, running
from benchmarks.online.world import World
from benchmarks.online.wrk import closed_loop
from benchmarks.workshop import Workshop
from twinserve.errors import PermanentError

CONNECTIONS = 16
COMPARED = 20
WARM_SECONDS = 2.0


class OtherAnswer(PermanentError):
    """Two services named different items for one request."""


class Answers:
    """What the first service said to a request, which every later one must say too."""

    def __init__(self) -> None:
        self._said: dict[bytes, object] = {}

    def compare(self, port: int, asked: list[bytes], who: Contestant) -> None:
        """Ask, and compare.

        Raises:
            OtherAnswer: names request and answers.
        """
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            for body in asked[:COMPARED]:
                connection.request("POST", "/inference", body, {"Content-Type": "application/json"})
                answer = connection.getresponse().read()
                found = _prediction(answer)
                first = self._said.setdefault(body, found)
                if found is None or found != first:
                    raise OtherAnswer(f"{who.name} answers {answer[:200]!r} to {body[:80]!r}, where {first} is right")
        finally:
            connection.close()


@dataclass(frozen=True)
class Session:
    """A service that is ready to be measured."""

    shop: Workshop
    world: World
    who: Contestant
    server: Server
    answers: Answers

    def requests(self, candidates: int) -> Path:
        """A file of requests, whose first answers are right."""
        asked = bodies(self.world.plan, candidates)
        self.answers.compare(self.server.port, asked, self.who)
        return write_bodies(self.shop.scratch / f"bodies-{self.world.plan.name}-{candidates}", asked)

    def closed(self, asked: Path, seconds: float, *, warm: float = WARM_SECONDS) -> Load:
        """The closed loop, after a warm-up of the same kind."""
        closed_loop(self.server.port, asked, warm, CONNECTIONS)
        return self.seen(closed_loop(self.server.port, asked, seconds, CONNECTIONS))

    def seen(self, load: Load) -> Load:
        """With the memory that the service has taken until now."""
        return replace(load, server_bytes=self.server.watch.look().tree_bytes)


@contextmanager
def session(
    shop: Workshop, world: World, who: Contestant, answers: Answers, more: Mapping[str, str] | None = None
) -> Iterator[Session]:
    """Start the contestant; stopped after the block."""
    with running(shop, world, who, more) as server:
        yield Session(shop, world, who, server, answers)


def _prediction(answer: bytes) -> object:
    try:
        return json.loads(answer).get("prediction")
    except (ValueError, AttributeError):
        return None
