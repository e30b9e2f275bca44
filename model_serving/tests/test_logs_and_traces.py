"""What the service says of itself beside its answers: the access log, its lines under a slow disk, spans."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from serving_worlds import FRESH, StartServer, World
from starlette.responses import Response
from waiting import until

from model_serving.online.process.garbage import no_automatic_collection
from model_serving.online.telemetry.access_log import AccessLog
from model_serving.online.telemetry.queued_logging import MOST_WAITING, queued_logging
from model_serving.online.telemetry.tracing import LAST_SECONDS, Tracer

SCOPE = {"method": "POST", "path": "/inference", "client": ("10.0.0.1", 1), "headers": [(b"x-request-id", b"abc")]}
ASKED = {"request_id": "r", "driver_ids": FRESH}


def facts(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [vars(record)["answer"] for record in caplog.records]


def test_a_sample_of_the_answers_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log = AccessLog(0.25)
    for _ in range(4000):
        log(SCOPE, 200, "ok", 0.001)
    assert 800 < len(caplog.records) < 1200
    assert facts(caplog)[0] == {
        "method": "POST", "path": "/inference", "status": 200, "outcome": "ok", "milliseconds": 1.0,
        "client": "10.0.0.1", "request": "abc",
    }  # fmt: skip


def test_none_is_logged_at_a_rate_of_zero_but_faults_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log = AccessLog(0, faults_per_second=3)
    for _ in range(100):
        log(SCOPE, 200, "ok", 0.001)
        log(SCOPE, 422, "wrong_type", 0.001)
    assert not caplog.records
    for _ in range(100):
        log(SCOPE, 503, "feature_store_unavailable", 0.4)
    assert 3 <= len(caplog.records) <= 6  # a second may have ended meanwhile
    assert {answer["outcome"] for answer in facts(caplog)} == {"feature_store_unavailable"}


class Stuck(logging.Handler):
    """A disk that takes nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go, self.written = threading.Event(), 0

    def emit(self, _record: logging.LogRecord) -> None:
        self.go.wait()
        self.written += 1


def test_a_disk_that_takes_nothing_holds_nobody_up() -> None:
    root, stuck, lost = logging.getLogger(), Stuck(), []
    before = root.handlers[:]
    root.handlers = [stuck]
    try:
        with queued_logging(lambda: lost.append(1)):
            for number in range(MOST_WAITING + 100):
                logging.getLogger("test").warning("line %d", number)
            assert 95 <= len(lost) <= 100
            stuck.go.set()
            until("the lines that waited are written", lambda: stuck.written >= MOST_WAITING - 5)
        assert root.handlers == [stuck]
        stuck.go.clear()
        began = time.monotonic()
        with queued_logging(lambda: None):
            logging.getLogger("test").warning("never written")
        assert time.monotonic() - began < 10  # it would be for ever
    finally:
        stuck.go.set()
        root.handlers = before


def test_nothing_is_collected_of_itself_within_the_block() -> None:
    with no_automatic_collection():
        assert not gc.isenabled()
        assert gc.get_freeze_count() > 0
    assert gc.isenabled()


class Collector(ThreadingHTTPServer):
    """Takes spans by OTLP over HTTP."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        super().__init__(("127.0.0.1", 0), _Take)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1/traces"


class _Take(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Collector)
        self.server.bodies.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.integration
def test_spans_go_where_they_are_collected_and_continue_the_callers_trace(rides: World, start: StartServer) -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    collector = Collector()
    thread = threading.Thread(target=collector.serve_forever)
    thread.start()
    try:
        server = start(
            rides, TWINSERVE_ONLINE_TRACES_URL=collector.url, TWINSERVE_ONLINE_ACCESS_LOG_RATE="1",
            TWINSERVE_LOG_FORMAT="json",
        )  # fmt: skip
        server.await_ready()
        trace = "0af7651916cd43dd8448eb211c80319c"
        assert server.ask(ASKED, traceparent=f"00-{trace}-b7ad6b7169203331-01").status_code == 200
        server.stop()
    finally:
        collector.shutdown()
        thread.join()
    sent = [ExportTraceServiceRequest.FromString(body) for body in collector.bodies]
    spans = [s for one in sent for r in one.resource_spans for scope in r.scope_spans for s in scope.spans]
    assert [(span.name, span.trace_id.hex()) for span in spans] == [("POST /inference", trace)]
    answers = [json.loads(line) for line in server.log.read_text().splitlines() if '"answer"' in line]
    assert [line["answer"]["outcome"] for line in answers] == ["ok"]


async def answer(service: httpx.ASGITransport) -> str:
    async with httpx.AsyncClient(transport=service, base_url="http://service") as client:
        return (await client.post("/inference")).text


@pytest.mark.parametrize("silent", [True, False])
def test_a_dead_collector_does_not_hold_up_the_end(silent: bool) -> None:
    """It takes connections and never answers, or refuses them."""
    with socket.socket() as collector:
        collector.bind(("127.0.0.1", 0))
        if silent:
            collector.listen()
        tracer = Tracer(f"http://127.0.0.1:{collector.getsockname()[1]}/v1/traces")
        service = httpx.ASGITransport(tracer.traced(Response("answered")))
        assert asyncio.run(answer(service)) == "answered"
        began = time.monotonic()
        asyncio.run(tracer.close())  # the loop's end is part of the service's
        assert time.monotonic() - began < 3 * LAST_SECONDS  # a request's own limit would be 10 s, and its retries
