"""One start of one contestant: its answers compared, warmed up, measured."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import redis

from benchmarks.online.apart import apart
from benchmarks.online.contestants import Contestant
from benchmarks.online.load import Load
from benchmarks.online.open_loop import open_loop
from benchmarks.online.requests import bodies, write_bodies
from benchmarks.online.server import Server, running
from benchmarks.online.world import World
from benchmarks.online.wrk import closed_loop
from benchmarks.workspace import Workspace
from twinserve.errors import PermanentError

CONNECTIONS = 16
COMPARED = 20
WARM_SECONDS = 2.0
ENOUGH = 100  # requests: of fewer, no percentile says much
LONGER = 6  # times as long at most, to have enough


class OtherAnswer(PermanentError):
    """Two services named different items for one request."""


class Answers:
    """What the first service said to a request, which every later one must say too."""

    def __init__(self) -> None:
        self._said: dict[bytes, object] = {}

    def compare(self, port: int, asked: list[bytes], who: Contestant) -> float:
        """Ask, and compare; the seconds that the fastest answer took.

        Raises:
            OtherAnswer: names request and answers.
        """
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        fastest = float("inf")
        try:
            for body in asked[:COMPARED]:
                began = time.perf_counter()
                connection.request("POST", "/inference", body, {"Content-Type": "application/json"})
                answer = connection.getresponse().read()
                fastest = min(fastest, time.perf_counter() - began)
                found = _prediction(answer)
                first = self._said.setdefault(body, found)
                if found is None or found != first:
                    raise OtherAnswer(f"{who.name} answers {answer[:200]!r} to {body[:80]!r}, where {first} is right")
        finally:
            connection.close()
        return fastest


@dataclass(frozen=True)
class Session:
    """A service that is ready to be measured."""

    workspace: Workspace
    world: World
    who: Contestant
    server: Server
    answers: Answers

    def requests(self, candidates: int) -> tuple[Path, float]:
        """A file of requests, whose first answers are right, and the seconds that one of them takes alone."""
        asked = bodies(self.world.plan, candidates)
        alone = self.answers.compare(self.server.port, asked, self.who)
        return write_bodies(self.workspace.scratch / f"bodies-{self.world.plan.name}-{candidates}", asked), alone

    def closed(self, candidates: int, seconds: float) -> Load:
        """The closed loop, after a warm-up of the same kind; longer than asked for where requests take long."""
        asked, alone = self.requests(candidates)
        seconds = min(max(seconds, ENOUGH * alone), LONGER * seconds)
        closed_loop(self.server.port, asked, min(WARM_SECONDS, seconds), CONNECTIONS)
        return self._measured(lambda: closed_loop(self.server.port, asked, seconds, CONNECTIONS))

    def open(self, candidates: int, rate: float, seconds: float) -> Load:
        """The open loop, after a warm-up of the same kind; the service on a core of its own."""
        asked, _ = self.requests(candidates)
        with redis.Redis.from_url(self.world.redis_url) as client:
            store = client.info("server")["process_id"]
        with apart(self.server.pid, store):
            open_loop(self.server.port, asked, rate, min(WARM_SECONDS, seconds))
            return self._measured(lambda: open_loop(self.server.port, asked, rate, seconds))

    def _measured(self, load: Callable[[], Load]) -> Load:
        self.server.await_idle()
        before = self._used()
        found = load()
        spent = (now - then for now, then in zip(self._used(), before, strict=True))
        service, store, machine = (seconds / found.seconds for seconds in spent)
        return replace(
            found,
            service_share=service,
            redis_share=store,
            others_share=max(machine - service - store - found.generator_share, 0.0),
            server_bytes=self.server.watch.look().tree_bytes,
        )

    def _used(self) -> tuple[float, float, float]:
        """Processor seconds of the service, of Redis, and of the whole machine."""
        with redis.Redis.from_url(self.world.redis_url) as client:
            cpu = client.info("cpu")
        whole = psutil.cpu_times()
        busy = sum(whole) - whole.idle - getattr(whole, "iowait", 0.0)
        return self.server.processor_seconds(), cpu["used_cpu_user"] + cpu["used_cpu_sys"], busy


@contextmanager
def session(workspace: Workspace, world: World, who: Contestant, answers: Answers) -> Iterator[Session]:
    """Start the contestant; stopped after the block."""
    with running(workspace, world, who) as server:
        yield Session(workspace, world, who, server, answers)


def _prediction(answer: bytes) -> object:
    try:
        return json.loads(answer).get("prediction")
    except (ValueError, AttributeError):
        return None
