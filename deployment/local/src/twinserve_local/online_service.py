"""The online service for the length of a block: started, ready, asked, stopped."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from twinserve.errors import PermanentError, TransientError
from twinserve.settings import Settings, child_environment
from twinserve_local.checkout import Checkout
from twinserve_local.ports import HOST
from twinserve_local.sessions import is_running, last_line, recorded_session, stop_recorded
from twinserve_local.telemetry import contained_environment

READY_SECONDS = 120.0
STOP_SECONDS = 15.0


@contextmanager
def running_service(settings: Settings, checkout: Checkout, port: int) -> Iterator[str]:
    """The base URL of the service, once it says that it is ready.

    Raises:
        TransientError: it stops, or isn't ready in time; the message says what it said last.
    """
    folder = settings.home / "demo"
    log = folder / "serve.log"
    log.unlink(missing_ok=True)
    environment = child_environment(
        settings, **contained_environment(settings.home), TWINSERVE_ONLINE_PORT=str(port), TWINSERVE_LOG_FORMAT="text"
    )
    record = folder / "running.json"
    try:
        words = [checkout.command("model-serving"), "serve"]
        session = recorded_session(record, [], "model-serving serve", words, environment, log)
        url = f"http://{HOST}:{port}"
        deadline = time.monotonic() + READY_SECONDS
        while not _is_ready(url):
            if not is_running(session):
                raise TransientError(f"the service stopped: {last_line(log)}", fix=f"Look into {log}")
            if time.monotonic() > deadline:
                raise TransientError(f"the service isn't ready: {last_line(log)}", fix=f"Look into {log}")
            time.sleep(0.1)
        yield url
    finally:
        stop_recorded(record, STOP_SECONDS)


def example_request(url: str) -> dict[str, Any]:
    """The request that the service's own page shows as the example of `/inference`.

    Raises:
        PermanentError: it shows none.
    """
    return example_of(httpx.get(f"{url}/docs.json", timeout=10, trust_env=False).raise_for_status().json())


def example_of(page: Mapping[str, Any]) -> dict[str, Any]:
    """The example of `/inference` in an OpenAPI description, which may keep it with the body or with its schema.

    Raises:
        PermanentError: there is none.
    """
    try:
        body = page["paths"]["/inference"]["post"]["requestBody"]["content"]["application/json"]
    except KeyError:
        body = {}
    example = _example(body) or _example(_resolved(page, body.get("schema", {})))
    if not isinstance(example, dict):
        raise PermanentError("the service's page shows no example of /inference")
    return example


def ask(url: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """The answer of `/inference`.

    Raises:
        PermanentError: it is an error.
    """
    answer = httpx.post(f"{url}/inference", json=dict(request), timeout=30, trust_env=False)
    if answer.is_error:
        raise PermanentError(f"/inference answers with {answer.status_code}: {answer.text[:500]}")
    return dict(answer.json())


def curl(port: int, request: Mapping[str, Any]) -> str:
    """The command line that asks the same."""
    body = shlex.quote(json.dumps(dict(request)))
    return f"curl -s http://{HOST}:{port}/inference -H 'Content-Type: application/json' -d {body}"


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _example(shown: Mapping[str, Any]) -> object:
    several = shown.get("examples")
    if isinstance(several, list) and several:
        return several[0]
    if isinstance(several, dict) and several:
        return next(iter(several.values())).get("value")
    return shown.get("example")


def _resolved(page: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = page
    for step in schema["$ref"].removeprefix("#/").split("/") if "$ref" in schema else []:
        found = found[step]
    return schema if found is page else dict(found)
