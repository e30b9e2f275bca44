"""A small Compose project: the online service behind its gateway."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
from waiting import until

from twinserve_platform.compose import Compose

FILE = Path(__file__).parents[1] / "docker" / "rolling.compose.yml"


@dataclass(frozen=True)
class RollingProject:
    """The project, as one release of it would be started."""

    compose: Compose

    def release(self, **variables: str) -> RollingProject:
        """The same with other variables: a new release."""
        return RollingProject(replace(self.compose, environment={**self.compose.environment, **variables}))

    def port(self, service: str, inside: int) -> int:
        """Where a port of a service is on this machine."""
        return int(self.compose.run("port", service, str(inside), capture=True).rpartition(":")[2])

    @property
    def url(self) -> str:
        """Base URL of the gateway."""
        return f"http://127.0.0.1:{self.port('gateway', 8172)}"

    def online(self) -> list[str]:
        """Ids of the running containers of the service."""
        return sorted(c.id for c in self.compose.containers("online") if c.state == "running")

    def asked(self) -> list[str]:
        """The addresses that the gateway sends requests to."""
        return self.compose.run("exec", "-T", "gateway", "gateway-servers", capture=True).split()

    def await_asked(self, count: int, seconds: float = 120) -> None:
        """Wait until the gateway sends requests to so many containers."""
        until(
            f"the gateway asks {count}", lambda: len(self.asked()) == count, seconds,
            also=lambda: self.compose.run("logs", "--tail", "20", capture=True),
        )  # fmt: skip

    def access_log(self) -> list[dict[str, Any]]:
        """The gateway's lines, one for each request."""
        said = self.compose.run("logs", "--no-log-prefix", "gateway", capture=True)
        return [json.loads(line) for line in said.splitlines() if line.startswith("{")]


def docker(*words: str, check: bool = True) -> str:
    """What a call of `docker` prints."""
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0 or not check, done.stderr
    return done.stdout.strip()


def rolling_project(name: str, images: str, tag: str, world: Path) -> RollingProject:
    """The project on a world, which is a folder with `home` and `repo`."""
    environment = {
        **os.environ,
        "IMAGES": images, "TAG": tag, "WORLD": str(world), "OWNER": f"{os.getuid()}:{os.getgid()}",
        "RELEASE": "1", "MODEL": "ranker",
    }  # fmt: skip
    file = world / "docker-compose.yml"  # beside it is where a roll keeps its record
    shutil.copyfile(FILE, file)
    return RollingProject(Compose(name, [file], environment, env_file=Path(os.devnull)))


def ask(url: str, body: object, **headers: str) -> httpx.Response:
    """One request on a connection of its own."""
    return httpx.post(f"{url}/inference", json=body, headers=headers, timeout=30, trust_env=False)
