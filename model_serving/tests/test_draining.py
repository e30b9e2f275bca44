"""How a service that is told to stop leaves its callers: seen from outside, with the real service."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psutil
import pytest
from serving_worlds import FRESH, Server, StartServer, World
from waiting import until

from model_serving.online.process.stop_signals import StopSignals

pytestmark = pytest.mark.integration
ASKED = {"request_id": "r", "driver_ids": FRESH}


def drained(server: Server, seconds: float = 30) -> None:
    """Wait until the service says that it drains."""
    until("no longer ready", lambda: server.status("/readyz") == 503, seconds, also=server.log.read_text)


@contextmanager
def half_a_request(port: int) -> Iterator[socket.socket]:
    """A connection on which a request has begun, its body not all there."""
    head = b"POST /inference HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 41\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(head + b'{"request_id": "r", ')
        time.sleep(0.3)  # for the worker to take it up
        yield connection


def test_it_says_no_to_the_balancer_and_yes_to_callers_then_stops(rides: World, start: StartServer) -> None:
    server = start(rides, TWINSERVE_ONLINE_WORKERS="2", TWINSERVE_ONLINE_DRAIN_SECONDS="3")
    server.await_ready()
    before = server.ask(ASKED)
    assert before.headers.get("connection") != "close"

    began = time.monotonic()
    server.process.terminate()
    drained(server)
    answers = []
    while server.process.poll() is None and time.monotonic() - began < 2.5:
        with httpx.Client(base_url=server.http.base_url, trust_env=False, timeout=10) as fresh:
            answers += [server.ask(ASKED), fresh.post("/inference", json=ASKED)]
            unready = fresh.get("/readyz")
            assert unready.status_code == 503
            assert "draining" in unready.text
            assert fresh.get("/livez").status_code == 200
    assert len(answers) > 10
    for answer in answers:
        assert answer.status_code == 200
        assert answer.headers["connection"] == "close"
        assert answer.json()["prediction"] == before.json()["prediction"]

    assert server.process.wait(timeout=30) == 0
    assert time.monotonic() - began >= 3
    assert "Traceback" not in server.log.read_text()


def test_without_a_drain_time_it_stops_at_once_and_answers_what_has_begun(rides: World, start: StartServer) -> None:
    server = start(rides)
    server.await_ready()
    with half_a_request(server.port) as connection:
        server.process.terminate()
        until("it takes no connections", lambda: refuses(server.port), seconds=5)
        assert server.process.poll() is None
        connection.sendall(b'"driver_ids": [1001]}')
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
    assert server.process.wait(timeout=30) == 0


def refuses(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_second_signal_ends_a_drain_and_what_is_under_way(rides: World, start: StartServer) -> None:
    server = start(rides, TWINSERVE_ONLINE_DRAIN_SECONDS="500")
    server.await_ready()
    workers = server.workers()
    with half_a_request(server.port) as connection:
        server.process.terminate()
        drained(server)
        time.sleep(0.5)  # signals closer together than that are one Ctrl-C
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(timeout=30) == 0
        assert connection.recv(100) == b""
    assert not any(worker.is_running() for worker in workers)


def test_a_request_that_never_ends_does_not_keep_it_from_stopping(rides: World, start: StartServer) -> None:
    server = start(rides)
    server.await_ready()
    with half_a_request(server.port):
        server.process.terminate()
        until("it takes no connections", lambda: refuses(server.port), seconds=5)
        assert server.process.wait(timeout=60) == 0


def test_a_signal_while_it_starts_stops_it(rides: World, start: StartServer) -> None:
    server = start(rides, TWINSERVE_ONLINE_DRAIN_SECONDS="1")
    until("it has started", lambda: "listening on" in server.log.read_text())
    server.process.terminate()
    assert server.process.wait(timeout=60) == 0


def test_while_one_of_two_workers_loads_again_no_request_is_refused(rides: World, start: StartServer) -> None:
    server = start(rides, TWINSERVE_ONLINE_WORKERS="2")
    server.await_ready()
    until("both workers are ready", lambda: server.log.read_text().count("ready: ranker") == 2)
    first = server.workers()[0]
    os.kill(first.pid, signal.SIGKILL)
    psutil.wait_procs([first], timeout=10)
    statuses = set()
    while server.log.read_text().count("ready: ranker") < 3:
        with httpx.Client(base_url=server.http.base_url, trust_env=False, timeout=30) as fresh:
            statuses.add(fresh.post("/inference", json=ASKED).status_code)
    assert statuses == {200}


def test_signals_are_seen_whoever_has_the_handlers() -> None:
    with StopSignals() as signals:
        signal.signal(signal.SIGTERM, lambda *_: None)  # as a library would
        assert not signals.arrived(within=0)
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.arrived(within=5)
        assert not signals.arrived(within=0)


def test_two_signals_in_one_moment_are_one_wish_and_other_signals_none() -> None:
    with StopSignals() as signals:
        before = signal.signal(signal.SIGHUP, lambda *_: None)
        try:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not signals.arrived(within=0.1)
        finally:
            signal.signal(signal.SIGHUP, before)
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.arrived(within=5)
        assert not signals.arrived(within=0.1)
        later = threading.Timer(0.4, os.kill, (os.getpid(), signal.SIGINT))
        later.start()
        assert signals.arrived(within=10)
        later.join()


def test_the_handlers_are_given_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with StopSignals():
        pass
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
