"""Faults while callers go on asking: what is answered, what never is, how soon all is well again, and what is left.

No answer is ever wrong: each one is held against batch scoring. docs/guide/faults.md states what is tested here.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from statistics import median

import psutil
import pytest
import redis
from checked_load import CONNECTIONS, WELL, Load, Sample
from serving_worlds import World, mlflow_gone
from stage import WORKERS, Footprint, Stage
from waiting import until

from twinserve.features.materialization.materialize import materialize

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("chaos")]
UNAVAILABLE, OVERLOADED = "503 feature_store_unavailable", "503 overloaded"
BROKEN = {"ReadError", "RemoteProtocolError", "WriteError"}  # a connection of a worker that died
HEALED_SECONDS = 15.0  # stated; on an idle machine it is one or two


@pytest.fixture
def before(stage: Stage) -> Footprint:
    """What the service holds once it has been busy."""
    with stage.load() as load:
        load.await_answers(3 * CONNECTIONS)
    return stage.footprint()


def trial(stage: Stage, begin: Callable[[], object], end: Callable[[], object], seconds: float = 1.5) -> Load:
    """A fault under load: only the refusal that is stated, and all well again soon after it."""
    with stage.load() as load:
        load.await_answers(CONNECTIONS)
        begin()
        try:
            time.sleep(seconds)
        finally:
            end()
        assert load.await_answers(2 * CONNECTIONS) < HEALED_SECONDS
    assert set(load.outcomes()) <= {*WELL, UNAVAILABLE}
    assert {sample.headers["retry-after"] for sample in refused(load)} <= {"1"}
    return load


def refused(load: Load) -> list[Sample]:
    return [sample for sample in load.samples if sample.outcome == UNAVAILABLE]


def test_redis_stopped_and_started_again(stage: Stage, before: Footprint) -> None:
    assert refused(trial(stage, stage.redis.kill, stage.redis.start))
    stage.await_footprint(before)


def test_redis_restarted_at_once(stage: Stage, before: Footprint) -> None:
    def restart() -> None:
        stage.redis.kill()
        stage.redis.start()

    trial(stage, restart, lambda: None)
    stage.await_footprint(before)


def test_redis_hangs(stage: Stage, before: Footprint) -> None:
    pid = stage.redis.pid
    load = trial(stage, lambda: os.kill(pid, signal.SIGSTOP), lambda: os.kill(pid, signal.SIGCONT))
    assert refused(load)
    stage.await_footprint(before)


def test_redis_is_cut_off_without_a_word(stage: Stage, before: Footprint) -> None:
    assert refused(trial(stage, stage.link.drop, stage.link.heal))
    stage.await_footprint(before)


def test_redis_resets_every_connection(stage: Stage, before: Footprint) -> None:
    load = trial(stage, stage.link.reset, stage.link.heal)
    assert median(sample.done - sample.due for sample in refused(load)) < stage.read_seconds / 2
    stage.await_footprint(before)


def test_redis_is_200_ms_away(stage: Stage, before: Footprint) -> None:
    """Within the time of a read, so it is slow and not refused."""
    far = time.monotonic()
    load = trial(stage, lambda: stage.link.delay(0.2), stage.link.heal)
    slow = [sample for sample in load.since(far) if sample.outcome == "200" and sample.done - sample.due > 0.2]
    assert slow, load.outcomes(far)
    stage.await_footprint(before)


def test_redis_is_flushed_and_filled_again(stage: Stage, before: Footprint) -> None:
    """Keys that are gone are unknown, which is what a 404 or `left_out` says, until materialize has run."""

    def flush() -> None:
        stage.right.flushed = True
        with redis.Redis(port=stage.redis.port) as client:
            client.flushall()

    load = trial(stage, flush, lambda: materialize(stage.world.settings, stage.redis.url))
    stage.right.flushed = False
    assert load.outcomes()["404 no_candidate"] > CONNECTIONS
    assert not refused(load)
    with stage.load() as again:
        again.await_answers(CONNECTIONS)
    stage.await_footprint(before)


@pytest.mark.parametrize("meanwhile", [nullcontext, mlflow_gone], ids=["all else is well", "MLflow is away"])
def test_a_worker_is_killed(
    stage: Stage, before: Footprint, meanwhile: Callable[[World], AbstractContextManager[None]]
) -> None:
    """Its own connections break; no request of another one fails, and another worker takes its place."""
    ready = stage.times_ready
    with meanwhile(stage.world), stage.load() as load:
        load.await_answers(2 * CONNECTIONS)
        victim = stage.server.workers()[0]
        theirs = their_ends(victim)
        victim.kill()
        stage.everybody_ready(ready + 1)
        load.await_answers(2 * CONNECTIONS)
    failed = [sample for sample in load.samples if sample.outcome not in WELL]
    assert {sample.outcome for sample in failed} <= BROKEN
    assert {sample.port for sample in failed} <= theirs
    assert len(stage.server.workers()) == WORKERS
    stage.await_footprint(before)


def test_both_workers_are_killed(stage: Stage, before: Footprint) -> None:
    """Nobody answers for a while, and yet the port is there: who comes anew waits, and is answered."""
    ready = stage.times_ready
    with stage.load() as load:
        load.await_answers(CONNECTIONS)
        for worker in stage.server.workers():
            worker.kill()
        stage.everybody_ready(ready + WORKERS)
        load.await_answers(2 * CONNECTIONS)
    assert set(load.outcomes()) <= {*WELL} | BROKEN
    assert sum(load.outcomes()[kind] for kind in BROKEN) <= WORKERS * CONNECTIONS
    stage.await_footprint(before)


def test_features_are_replaced_under_load(stage: Stage, before: Footprint) -> None:
    with stage.load() as load:
        load.await_answers(CONNECTIONS)
        for version in range(3):
            stage.publish(version)
            load.await_answers(CONNECTIONS)
    assert set(load.outcomes()) <= {*WELL}
    stage.admit(stage.newer_rows(2), only=True)
    with stage.load() as later:
        later.await_answers(2 * CONNECTIONS)
    stage.await_footprint(before)


def test_more_than_it_can_do(stage: Stage, tmp_path: Path) -> None:
    """Beyond the bound a request is refused without waiting; those that were taken are answered."""
    far, bound = 0.2, 4
    server = stage.start(tmp_path / "log", TWINSERVE_ONLINE_MAX_CONCURRENCY=str(bound), TWINSERVE_ONLINE_WORKERS="1")
    try:
        server.await_ready()
        # each connection has less than one request in `far`: none is sent late since the one before it took long
        with stage.load(server, rate=200, connections=64) as load:
            until("it answers", lambda: sum(load.outcomes()[well] for well in WELL) > CONNECTIONS)
            stage.link.delay(far)
            began = time.monotonic()
            until("many are refused", lambda: load.outcomes(began)[OVERLOADED] > 300, also=load.outcomes)
            meanwhile, seconds = load.since(began), time.monotonic() - began
            stage.link.heal()
            load.await_answers(CONNECTIONS)
        turned_away = [sample for sample in meanwhile if sample.outcome == OVERLOADED]
        taken = [sample for sample in meanwhile if sample.outcome in WELL]
        assert set(load.outcomes()) <= {*WELL, OVERLOADED, UNAVAILABLE}
        assert {sample.headers["retry-after"] for sample in turned_away} == {"1"}
        assert bound < len(taken) <= bound * (seconds / far + 1)
        quickest = min(sample.done - sample.due for sample in taken)
        assert median(sample.done - sample.due for sample in turned_away) < quickest >= far
    finally:
        stage.link.heal()
        server.stop()


def test_told_to_stop_under_load(stage: Stage, tmp_path: Path) -> None:
    """While it drains, every request is answered; at the end a few meet a connection that closes; then nobody listens.

    One that is made, but whose request is not read yet when a worker stops, is closed: HTTP has no better way.
    """
    drain = 2.0
    server = stage.start(tmp_path / "log", TWINSERVE_ONLINE_DRAIN_SECONDS=str(int(drain)))
    try:
        until("both ready", lambda: server.log.read_text().count("ready: ranker") == WORKERS)
        workers = server.workers()
        with stage.load(server) as load:
            load.await_answers(2 * CONNECTIONS)
            told = time.monotonic()
            server.process.terminate()
            until("it has ended", lambda: server.process.poll() is not None, 60)
        draining = [sample for sample in load.samples if sample.done < told + drain]
        assert {sample.outcome for sample in draining} <= {*WELL}
        assert sum(sample.due >= told for sample in draining) > CONNECTIONS
        assert set(load.outcomes()) <= {*WELL, "ConnectError", *BROKEN}
        assert sum(load.outcomes()[broken] for broken in BROKEN) <= CONNECTIONS
        gone, alive = psutil.wait_procs(workers, timeout=10)
        assert (len(gone), alive) == (WORKERS, [])
    finally:
        server.stop()


HEAD = b"POST /inference HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
WHOLE = b'{"request_id":"r","driver_ids":[1001]}'
SLOW = {
    "headers that never end": HEAD,
    "a body that never ends": HEAD + b"Content-Length: 999\r\n\r\n{",
    "half-closed": HEAD + b"Content-Length: %d\r\n\r\n" % len(WHOLE) + WHOLE,
}
MANY = b'{"request_id":"r","driver_ids":[%s]}' % b",".join(b"%d" % key for key in range(10**6, 10**6 + 1000))
# 16 MB of answers: more than the system takes in for a client that reads nothing
UNREAD = (HEAD + b"Content-Length: %d\r\n\r\n" % len(MANY) + MANY) * 400
READ_NOTHING, THEIRS = 4, 20.0  # clients, and the megabytes that one of them takes; what is kept varies by as much


def test_two_hundred_slow_clients(stage: Stage, before: Footprint) -> None:
    """They hold a descriptor each, and nobody up; who leaves a body unfinished is told so, and let go."""
    before = replace(before, megabytes=megabytes_after_unread_answers(stage) + THEIRS)
    with ExitStack() as held:
        with stage.load() as load:
            kinds = [list(SLOW)[number % len(SLOW)] for number in range(200)]
            clients = [held.enter_context(slow_client(stage.server.port, kind)) for kind in kinds]
            for _ in range(READ_NOTHING):
                held.enter_context(client_that_reads_nothing(stage.server.port))
            load.await_answers(4 * CONNECTIONS)
        assert set(load.outcomes()) <= {*WELL}
        for client in clients[kinds.index("a body that never ends") :: len(SLOW)]:
            told = b"".join(iter(lambda: client.recv(65536), b""))  # noqa: B023 - used at once
            assert told.startswith(b"HTTP/1.1 408 ")
            assert b'"body_timeout"' in told
    stage.await_footprint(before)


def megabytes_after_unread_answers(stage: Stage) -> float:
    """What it holds once each worker had as many such clients as will come: memory once needed for them, it keeps."""
    clients: set[int] = set()
    with ExitStack() as held:
        while any(len(clients & their_ends(worker)) < READ_NOTHING for worker in stage.server.workers()):
            clients.add(held.enter_context(client_that_reads_nothing(stage.server.port)).getsockname()[1])
    return stage.footprint().megabytes


def their_ends(worker: psutil.Process) -> set[int]:
    """The ports of those that are connected to it."""
    return {end.raddr.port for end in worker.net_connections("tcp") if end.raddr}


def client_that_reads_nothing(port: int) -> socket.socket:
    """Its answers wait in the service's system, and then in the service."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(30)
    client.connect(("127.0.0.1", port))
    client.sendall(UNREAD)
    own = client.getsockname()[1]
    until("its answers wait", lambda: unsent_bytes(port, own) > 2**20)
    return client


def unsent_bytes(port: int, client: int) -> int:
    """What the system holds of answers to the client's port."""
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        local, remote, _, queues = line.split()[1:5]
        if (int(local.split(":")[1], 16), int(remote.split(":")[1], 16)) == (port, client):
            return int(queues.split(":")[0], 16)
    return 0


def slow_client(port: int, kind: str) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=30)
    client.sendall(SLOW[kind])
    if kind == "half-closed":
        client.shutdown(socket.SHUT_WR)
    return client
