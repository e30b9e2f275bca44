"""A worker with more connections than it may have open files at its start, and with more than its setting allows."""

from __future__ import annotations

import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psutil
import pytest
from client_requests import REQUESTS
from raw_http import Answered, answers, head, until_closed
from serving_worlds import FRESH, StartServer, World
from waiting import until

MOST = 300


@contextmanager
def few_open_files(soft: int) -> Iterator[None]:
    """Processes that are started now begin with so low a limit."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.integration
def test_a_service_full_of_connections_says_so_and_answers_those_that_it_has(rides: World, start: StartServer) -> None:
    with few_open_files(256):
        server = start(rides, TWINSERVE_ONLINE_MAX_CONNECTIONS=str(MOST), TWINSERVE_ONLINE_MAX_HEAD_BYTES="2048")
    server.await_ready()
    (worker,) = server.workers()
    server.http.get("/readyz")  # a connection that is kept while others come
    with ExitStack() as held:
        for _ in range(MOST - 1):
            held.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=20))
        until("all are there", lambda: len(established(server.port, worker.pid)) >= MOST)
        refused = asked(server.port, head("Content-Length: 2", path="/inference") + b"{}")
        assert (refused.status, refused.code) == (503, "too_many_connections")
        assert asked(server.port, head(path="/readyz", method="GET")).status == 200
        assert server.ask({"request_id": "r", "driver_ids": FRESH}).status_code == 200
        metrics = asked(server.port, head(path="/metrics", method="GET")).body.decode()
        assert 'outcome="too_many_connections"} 1.0' in metrics
    assert (
        f"refused with too_many_connections, 127.0.0.1: {MOST} connections are open already" in server.log.read_text()
    )

    until("there is room", lambda: len(established(server.port, worker.pid)) < MOST)
    large = asked(server.port, head("X: " + "a" * 2048, path="/inference"))
    assert (large.status, large.code) == (431, "head_too_large")
    assert 'outcome="head_too_large"} 1.0' in server.http.get("/metrics").text

    assert "Traceback" not in server.log.read_text()


@pytest.mark.integration
def test_requests_as_clients_send_them_are_answered(rides: World, start: StartServer) -> None:
    """Each client's on one connection, one after the other without a pause, and once a byte at a time."""
    server = start(rides)
    server.await_ready()
    for name, requests in REQUESTS.items():
        for pieces in ([b"".join(requests)], [b"%c" % byte for byte in requests[0]]):
            found = [answer for answer in said(server.port, *pieces) if answer.status != 100]
            # who asks for the end of the connection is answered once
            several = len(pieces) == 1 and b"connection: close" not in requests[0].lower()
            expected = [(200, True)] * (len(requests) if several else 1)
            assert [(answer.status, answer.json["prediction"] in FRESH) for answer in found] == expected, name
    assert "upgrade" not in server.log.read_text().lower()


def said(port: int, *pieces: bytes) -> list[Answered]:
    """All answers to these bytes, of a client that closes its sending half after them."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            client.sendall(piece)
        client.shutdown(socket.SHUT_WR)
        return answers(until_closed(client))


def asked(port: int, sent: bytes) -> Answered:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(sent)
        return answers(until_closed(client))[0]


def established(port: int, process: int) -> list[object]:
    ends = psutil.Process(process).net_connections("tcp")
    return [end for end in ends if end.laddr.port == port and end.raddr and end.status == "ESTABLISHED"]


@pytest.mark.parametrize(("hard", "fit"), [(1024, 1024 - 128 - 64), (100, 16), (100_000, 2048)])
def test_no_more_connections_than_open_files(hard: int, fit: int) -> None:
    code = f"""
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, {hard}))
from model_serving.online.http.connections.descriptors import connections_that_fit
print(connections_that_fit(2048, 64), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""
    if hard > resource.getrlimit(resource.RLIMIT_NOFILE)[1]:
        pytest.skip("this machine allows fewer open files")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(fit), str(hard), str(hard)]
    assert (f"at most {fit} connections, not 2048: this process may have {hard} open files" in done.stderr) == (
        fit < 2048
    )
