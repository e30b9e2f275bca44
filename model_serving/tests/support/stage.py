"""The real service with two workers on a Redis of its own, between them a link that a test may break."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import redis
from checked_load import CONNECTIONS, RATE, Load, checked_load
from faulty_link import FaultyLink
from right_answers import RightAnswers, scored_rows
from serving_worlds import (
    FRESH,
    NOW,
    NULL,
    RIDES,
    STALE,
    UNKNOWN,
    OwnRedis,
    Server,
    World,
    classifier_output,
    fitted_classifier,
    make_world,
    ride_rows,
    write_view,
)
from waiting import until

from twinserve.errors import TransientError
from twinserve.features.materialization.materialize import materialize
from twinserve.features.online import CONNECTIONS as REDIS_CONNECTIONS

ASKED_FOR = [*FRESH, STALE, NULL, UNKNOWN]
WORKERS = 2
DESCRIPTORS = 4  # one or two are seen to come and go
MEGABYTES = WORKERS * 10.0  # as much as a soak lets one grow; after most faults it is less than one


@dataclass(frozen=True)
class Footprint:
    """What the service holds.

    Attributes:
        connections: to Redis.
        descriptors: open in all workers together.
        megabytes: resident in all workers together.
    """

    connections: int
    descriptors: int
    megabytes: float

    def within(self, other: Footprint) -> bool:
        """Whether it is no more than `other` and a little, and has no more connections than its workers may have."""
        return (
            self.connections <= WORKERS * REDIS_CONNECTIONS
            and self.descriptors - self.connections <= other.descriptors - other.connections + DESCRIPTORS
            and self.megabytes <= other.megabytes + MEGABYTES
        )


class Stage:
    """World, Redis, link and service, and the answers that are right."""

    def __init__(self, world: World, own: OwnRedis, link: FaultyLink, log: Path) -> None:
        self.world, self.redis, self.link, self._log = world, own, link, log
        self.right = RightAnswers({STALE: {"stale"}, NULL: {"null"}, UNKNOWN: {"unknown"}})
        self.model = world.registry.load_champion(with_original=True)
        self._admitted: list[dict[int, float]] = []
        self.admit(ride_rows())
        self.server = self.start(log)
        self.everybody_ready(WORKERS)

    def start(self, log: Path, **environment: str) -> Server:
        """Another service on the same Redis, through the same link."""
        url = f"redis://127.0.0.1:{self.link.port}/0"
        return Server(
            self.world, log, **{"TWINSERVE_ONLINE_WORKERS": str(WORKERS), "TWINSERVE_REDIS_URL": url} | environment
        )

    def admit(self, rows: pd.DataFrame, *, only: bool = False) -> None:
        """From now on, scores from these rows are right too, or they only."""
        scores = scored_rows(self.model, rows[rows["driver_id"].isin(FRESH)])
        self._admitted = [scores] if only else [*self._admitted, scores]
        for key in FRESH:
            self.right.known[key] = {admitted[key] for admitted in self._admitted}

    def newer_rows(self, version: int) -> pd.DataFrame:
        """Other values for the keys that have fresh ones, a little later than all earlier versions."""
        chance = np.random.default_rng(version)
        rows = pd.DataFrame({"driver_id": FRESH, "conv_rate": chance.random(len(FRESH)).astype("float32")})
        rows["trips"], rows["night"] = chance.integers(0, 100, len(FRESH)), chance.random(len(FRESH)) > 0.5
        rows["event_timestamp"] = NOW - timedelta(minutes=50) + timedelta(seconds=version)
        return rows.assign(created=rows["event_timestamp"])

    def publish(self, version: int) -> None:
        """Newer rows, through the offline store, into Redis: meanwhile both are right, afterwards only they."""
        rows = self.newer_rows(version)
        self.admit(rows)
        write_view(self.world.settings, "driver_stats", rows, f"version-{version}")
        materialize(self.world.settings, self.redis.url)

    def try_to_publish(self, version: int) -> bool:
        """As `publish`, while Redis may be away: then it is left open what is there.

        Once it has succeeded, answers from older rows are still right, for requests that had read them; from the next
        try on they are wrong.
        """
        try:
            self.publish(version)
        except TransientError:
            return False
        self._admitted = self._admitted[-1:]
        return True

    @contextmanager
    def load(self, server: Server | None = None, rate: float = RATE, connections: int = CONNECTIONS) -> Iterator[Load]:
        """Callers of a service, of its own one if no other is named; their answers are all right."""
        url = str((server or self.server).http.base_url)
        with checked_load(url, ASKED_FOR, self.right, rate=rate, connections=connections) as load:
            yield load
        assert not load.objections, load.objections[:5]

    def everybody_ready(self, count: int) -> None:
        """Wait until so many workers have said in their lives that they are."""
        until(f"{count} times ready", lambda: self._log.read_text().count("ready: ranker") >= count)
        self.server.await_ready()

    @property
    def times_ready(self) -> int:
        """How many workers have become ready since the start."""
        return self._log.read_text().count("ready: ranker")

    @property
    def read_seconds(self) -> float:
        """How long the service waits for Redis."""
        return self.world.settings.online_redis_timeout_ms / 1000

    def footprint(self) -> Footprint:
        """As it is now."""
        with redis.Redis(port=self.redis.port) as client:
            connections = len(client.client_list()) - 1
        workers = self.server.workers()
        return Footprint(
            connections,
            sum(worker.num_fds() for worker in workers),
            sum(worker.memory_info().rss for worker in workers) / 2**20,
        )

    def await_footprint(self, before: Footprint) -> None:
        """Wait until it holds no more than before."""
        until(
            "what it holds is given back",
            lambda: self.footprint().within(before),
            30,
            also=lambda: (before, self.footprint()),
        )


@contextmanager
def raised(folder: Path) -> Iterator[Stage]:
    """A stage for the length of the block."""
    with ExitStack() as opened:
        world = make_world(folder / "chaos", RIDES, {"driver_stats": ride_rows()}, opened)
        world.register(fitted_classifier(), world.contract(classifier_output()))
        (folder / "redis").mkdir()
        own = OwnRedis(folder / "redis")
        own.start()
        opened.callback(own.kill)
        materialize(world.settings, own.url)
        link = FaultyLink(own.port)
        link.start()
        opened.callback(link.stop)
        stage = Stage(world, own, link, folder / "server.log")
        opened.callback(stage.server.stop)
        yield stage
