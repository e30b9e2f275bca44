"""An image with a command, a volume, a network and the real gate, all of them this test run's own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import docker

ROOT = Path(__file__).parents[3]
TOOL = """#!/usr/local/bin/python3
import json, os, signal, subprocess, sys, time
options = dict(word[2:].split("=", 1) for word in sys.argv[1:] if word.startswith("--"))
exec(options.pop("do"))
"""
DOCKERFILE = """FROM python:3.11-slim-bookworm
COPY --chmod=755 tool /usr/local/bin/tool
RUN mkdir -m 777 /var/lib/twinserve
USER 10001:10001
ENV TWINSERVE_HOME=/var/lib/twinserve
ENTRYPOINT ["/usr/bin/env"]
"""


@dataclass(frozen=True)
class DockerWorld:
    """What a test needs to know of it; all names are `name`, the images `<name>/tool:1`."""

    name: str
    client: docker.APIClient
    gate: Gate

    def containers(self) -> list[dict[str, object]]:
        """All containers in the network, also those that have ended."""
        found: list[dict[str, object]] = self.client.containers(all=True, filters={"network": [self.name]})
        return found


class Gate:
    """The real gate, as a process that may be stopped and started again.

    Args:
        name: of the world before which it stands.
    """

    def __init__(self, name: str) -> None:
        self._environment = {
            **os.environ, "GATE_IMAGES": name, "GATE_VOLUME": name, "GATE_NETWORK": name, "GATE_MAX_MEMORY": "512m",
            "GATE_HOST": "127.0.0.1", "PYTHONUNBUFFERED": "1",
        }  # fmt: skip
        self._port = "0"
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """As DOCKER_HOST takes it."""
        return f"tcp://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it; a second time it listens where it did before."""
        self._process = subprocess.Popen(
            [str(ROOT / ".venv" / "bin" / "docker-gate")], env={**self._environment, "GATE_PORT": self._port},
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        line = self._process.stdout.readline() if self._process.stdout else ""
        assert "listening" in line, line
        self._port = line.split(",", 2)[1].rpartition(":")[2]

    def stop(self) -> str:
        """Stop it; gives the rest of its log."""
        assert self._process
        self._process.terminate()
        return self._process.communicate(timeout=20)[0]


@contextmanager
def docker_world(folder: Path) -> Iterator[DockerWorld]:
    """Make all of it, and remove all of it.

    Args:
        folder: an empty one, for the image.
    """
    name = f"test-{uuid4().hex[:8]}"
    (folder / "tool").write_text(TOOL)
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "RELEASE").write_text("1\n")
    subprocess.run(["docker", "build", "--quiet", "--tag", f"{name}/tool:1", str(folder)], check=True)
    client = docker.APIClient(version="auto", timeout=120)
    gate = Gate(name)
    try:
        client.create_network(name)
        client.create_volume(name)
        gate.start()
        yield DockerWorld(name, client, gate)
    finally:
        gate.stop()
        for container in client.containers(all=True, filters={"network": [name]}):
            client.remove_container(container["Id"], force=True)
        client.remove_network(name)
        client.remove_volume(name)
        client.remove_image(f"{name}/tool:1", force=True)
