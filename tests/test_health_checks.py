"""The health checks that run inside of images, against a real server."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from script_module import script


class Answers(ThreadingHTTPServer):
    """Answers each path of `pages` with a status and a body; 404 otherwise."""

    pages: dict[str, tuple[int, Any]]


class _Handler(BaseHTTPRequestHandler):
    server: Answers

    def do_GET(self) -> None:
        status, body = self.server.pages.get(self.path, (404, None))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Answers]:
    with Answers(("127.0.0.1", 0), _Handler) as answers:
        answers.pages = {}
        thread = threading.Thread(target=answers.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield answers
        finally:
            answers.shutdown()
            thread.join()


service = script("model_serving/healthcheck.py")
airflow = script("deployment/airflow/airflow_health.py")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["/sbin/docker-init", "--", "model-serving", "serve"], True),
        (["python", "/opt/venv/bin/model-serving", "serve", "--port", "80"], True),
        (["model-serving", "batch", "batch-prediction", "--run-key", "served"], False),
        (["sleep", "60"], False),
    ],
)
def test_only_the_service_is_asked(words: list[str], expected: bool) -> None:
    assert service.serves("\0".join([*words, ""]).encode()) is expected


def test_a_command_that_serves_nothing_is_well(server: Answers) -> None:
    assert service.main(server.server_port) == 0  # the first process of this machine is no `serve`


def test_a_service_is_well_when_it_is_ready(server: Answers) -> None:
    server.pages["/readyz"] = (200, "")
    service.ask(server.server_port)
    server.pages["/readyz"] = (503, "the model is being loaded")
    with pytest.raises(OSError, match="503"):
        service.ask(server.server_port)


def test_a_service_that_is_gone_is_not_well() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        with pytest.raises(OSError, match="refused"):
            service.ask(silent.getsockname()[1])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["/sbin/docker-init", "--", "airflow", "api-server"], "metadatabase"),
        (["airflow", "scheduler"], "scheduler"),
        (["airflow", "dag-processor"], "dag_processor"),
        (["airflow", "triggerer"], "triggerer"),
        (["python", "/opt/airflow/server/initialise.py"], None),
    ],
)
def test_a_container_is_the_component_of_its_command(words: list[str], expected: str | None) -> None:
    assert airflow.component_of("\0".join([*words, ""]).encode()) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((200, {"scheduler": {"status": "healthy"}, "triggerer": {"status": "unhealthy"}}), 0),
        ((200, {"scheduler": {"status": "unhealthy"}}), 1),
        ((200, {"scheduler": None}), 1),
        ((200, {}), 1),
        ((200, b"<html>"), 1),
        ((500, "no database"), 1),
    ],
)
def test_a_component_is_what_the_api_says_of_it(
    server: Answers, monkeypatch: pytest.MonkeyPatch, answer: tuple[int, Any], expected: int
) -> None:
    server.pages["/api/v2/monitor/health"] = answer
    api = f"http://127.0.0.1:{server.server_port}/execution/"
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", api)
    assert airflow.main(["scheduler"]) == expected
