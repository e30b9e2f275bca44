"""What the two load generators say, and that the open loop charges a pause to all who would have come."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.online import open_loop, wrk
from benchmarks.online.arrivals import Arrivals, as_request, good, quantile, told
from twinserve.errors import PermanentError

WRK = """Running 10s test @ http://127.0.0.1:1/inference
  1 threads and 16 connections
Requests/sec:   4272.00
wrk: {"requests": 200, "microseconds": 2000000, "p50": 3540.000, "p99": 6280.000, "p999": 10160.000, \
"longest": 13400.000, "errors": {"connect": 0, "read": 1, "write": 0, "status": 3, "timeout": 0}}
"""


def test_the_line_of_wrk() -> None:
    load = wrk.parsed(WRK, 0.5)
    assert (load.requests, load.seconds, load.errors) == (200, 2.0, 4)
    assert (load.p50, load.p99, load.p999, load.longest) == pytest.approx((0.00354, 0.00628, 0.01016, 0.0134))
    assert load.generator_share == 0.25
    assert load.rate == 98


def test_wrk_without_a_line_is_an_error() -> None:
    with pytest.raises(PermanentError, match="no figures: unable to connect"):
        wrk.parsed("unable to connect\n")


def test_the_line_of_the_open_loop() -> None:
    found = {"requests": 10, "seconds": 2.0, "errors": 0, "p50": 0.1, "p99": 0.2, "p999": 0.3, "longest": 0.4}
    load = open_loop.parsed(json.dumps({**found, "late_p999": 0.05, "processor_seconds": 1.0}))
    assert (load.rate, load.p999, load.late, load.generator_share) == (5, 0.3, 0.05, 0.5)


@pytest.mark.parametrize(
    ("content", "whole"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", True),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\na", None),
        (b"HTTP/1.1 200 OK\r\ncontent-le", None),
        (b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length:0\r\n\r\n", False),
    ],
)
def test_an_answer_is_whole_and_good(content: bytes, whole: bool | None) -> None:
    assert good(content) is whole


def test_an_answer_without_a_length_is_refused() -> None:
    with pytest.raises(ValueError, match="without a length"):
        good(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (0.999, 100), (1.0, 100)])
def test_quantiles_are_values_that_were_there(share: float, value: int) -> None:
    assert quantile(list(range(1, 101)), share) == value


def test_a_quantile_of_nothing() -> None:
    assert quantile([], 0.5) == 0


@contextmanager
def service(pause_at: int = -1, pause: float = 0.0, status: int = 200) -> Iterator[int]:
    """A small HTTP service that once stops for everybody, from the request of that number on."""
    gate, count = threading.Lock(), iter(range(1 << 30))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            with gate:
                if next(count) == pause_at:
                    time.sleep(pause)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Not here."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.integration
def test_a_pause_is_charged_to_all_who_would_have_come() -> None:
    with service(pause_at=50, pause=0.5) as port:
        run = Arrivals(port, [as_request(port, b"{}")], rate=200, seconds=1)
        run.run()
    assert len(run.times) == 200
    assert run.errors == 0
    # of the hundred that came due within the pause, half waited for more than half of it
    assert sum(each > 250_000_000 for each in run.times) >= 40
    assert max(run.times) >= 500_000_000


@pytest.mark.integration
def test_another_status_is_an_error() -> None:
    with service(status=503) as port:
        run = Arrivals(port, [as_request(port, b"{}")], rate=100, seconds=0.2)
        run.run()
    assert told(run, 1.0)["errors"] == told(run, 1.0)["requests"] == 20
