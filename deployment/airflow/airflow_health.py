#!/usr/bin/env python3
"""The image's health check, `airflow-health [COMPONENT]`: what Airflow's API says of one component.

Without a component it goes by the container's command; one that is no component of Airflow is always well. Airflow's
own `airflow jobs check` takes seconds of processor time; this takes a tenth of one, every few seconds.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from pathlib import Path
from typing import Any, cast
from urllib.parse import urljoin

TIMEOUT_SECONDS = 4.0
# a word of the container's command: the API's name for the component
COMPONENTS = {
    "api-server": "metadatabase",
    "scheduler": "scheduler",
    "dag-processor": "dag_processor",
    "triggerer": "triggerer",
}


def main(arguments: list[str]) -> int:
    """The exit code for Docker: 0 well, 1 not."""
    component = arguments[0] if arguments else component_of(Path("/proc/1/cmdline").read_bytes())
    if component is None:
        return 0
    try:
        found = health(os.environ.get("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", "http://127.0.0.1:8080"))
    except (OSError, ValueError) as error:  # refused, too slow, an answer of 400 and more, or none in JSON
        sys.stderr.write(f"no answer from Airflow's API: {error}\n")
        return 1
    status = (found.get(component) or {}).get("status")
    sys.stdout.write(f"{component}: {status}\n")
    return 0 if status == "healthy" else 1


def component_of(command_line: bytes) -> str | None:
    """The component that a command line, as in /proc, starts; None: some other command."""
    words = command_line.decode(errors="replace").split("\0")
    return next((COMPONENTS[word] for word in words if word in COMPONENTS), None)


def health(api: str) -> dict[str, Any]:
    """What the API says, by component; `api` is any address on its server."""
    url = urljoin(api, "/api/v2/monitor/health")
    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - Airflow's own setting
        return cast("dict[str, Any]", json.load(answer))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
