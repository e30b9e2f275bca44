"""A steady load for minutes, with faults thrown in and features replaced: never a wrong answer, and nothing grows.

`make soak MINUTES=…` takes its time; `make test` runs a short form.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import psutil
import pytest
from checked_load import CONNECTIONS, WELL, Load
from meanwhile import meanwhile
from stage import Stage

logger = logging.getLogger(__name__)
pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("chaos")]
SEED, RATE = 6, 160.0
REFUSED = {"503 feature_store_unavailable", "503 overloaded", "503 deadline_exceeded"}
BROKEN = {"ReadError", "RemoteProtocolError", "WriteError"}
GROWTH_MEGABYTES = 10.0  # in a minute or in ten; one kilobyte left behind by each request of ten minutes is more


def test_a_soak(stage: Stage, soak_minutes: float) -> None:
    chance, faults = random.Random(SEED), Counter[str]()
    with stage.load(rate=RATE) as load:
        load.await_answers(8 * CONNECTIONS)
        before, watch = stage.footprint(), Watch(by_age(stage)[0])
        end = time.monotonic() + 60 * soak_minutes
        with published_again_and_again(stage) as published:
            while time.monotonic() < end:
                fault = chance.choice(FAULTS)
                faults[fault.__name__] += 1
                fault(stage, chance.uniform(0.2, 2.0))
                load.await_answers(2 * CONNECTIONS)
                watch.look()
    grown = watch.growth()
    # warnings, as httpx has an information on each request
    logger.warning("faults %s, published %d times; answers %s", dict(faults), len(published), dict(load.outcomes()))
    logger.warning("held before %s, afterwards %s; the eldest worker grew by %.1f MB", before, stage.footprint(), grown)
    judge(load, faults["worker_killed"])
    assert published
    assert grown < GROWTH_MEGABYTES, watch.seen
    stage.await_footprint(before)


def judge(load: Load, killed: int) -> None:
    """That answers are right is checked as they come."""
    outcomes = load.outcomes()
    assert set(outcomes) <= {*WELL} | REFUSED | BROKEN
    assert sum(outcomes[kind] for kind in BROKEN) <= killed * CONNECTIONS
    assert sum(outcomes[well] for well in WELL) > outcomes.total() / 2
    assert {sample.headers["retry-after"] for sample in load.samples if sample.outcome in REFUSED} <= {"1"}


def by_age(stage: Stage) -> list[psutil.Process]:
    """The workers, the eldest first."""
    return sorted(stage.server.workers(), key=lambda worker: (worker.create_time(), worker.pid))


def stopped(stage: Stage, seconds: float) -> None:
    stage.redis.kill()
    time.sleep(seconds)
    stage.redis.start()


def hanging(stage: Stage, seconds: float) -> None:
    os.kill(stage.redis.pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(stage.redis.pid, signal.SIGCONT)


def cut_off(stage: Stage, seconds: float) -> None:
    stage.link.drop()
    time.sleep(seconds)
    stage.link.heal()


def broken(stage: Stage, seconds: float) -> None:
    stage.link.reset()
    time.sleep(seconds)
    stage.link.heal()


def far_away(stage: Stage, seconds: float) -> None:
    stage.link.delay(0.2)
    time.sleep(seconds)
    stage.link.heal()


def worker_killed(stage: Stage, _seconds: float) -> None:
    """The youngest: the eldest lives from the first to the last moment, and its memory tells."""
    ready = stage.times_ready
    by_age(stage)[-1].kill()
    stage.everybody_ready(ready + 1)


def quiet(_stage: Stage, seconds: float) -> None:
    time.sleep(seconds)


FAULTS: list[Callable[[Stage, float], None]] = [stopped, hanging, cut_off, broken, far_away, worker_killed, quiet]


@contextmanager
def published_again_and_again(stage: Stage) -> Iterator[list[int]]:
    """Newer features go through the real materialize for the length of the block; the versions that arrived."""
    arrived = list[int]()

    def publish(over: threading.Event) -> None:
        version = 1000  # of no other test
        while not over.wait(2.0):
            if stage.try_to_publish(version):
                arrived.append(version)
            version += 1

    with meanwhile(publish):
        yield arrived


class Watch:
    """The memory of one worker over time."""

    def __init__(self, worker: psutil.Process) -> None:
        self._worker = worker
        self.seen: list[tuple[float, float]] = []

    def look(self) -> None:
        """Note what it holds."""
        self.seen.append((time.monotonic(), self._worker.memory_info().rss / 2**20))

    def growth(self) -> float:
        """By how many megabytes it has grown after the first third, in which it warms up: the line of best fit."""
        moments, megabytes = np.array(self.seen[len(self.seen) // 3 :]).T
        return float(np.polyfit(moments - moments[0], megabytes, 1)[0] * (moments[-1] - moments[0]))
