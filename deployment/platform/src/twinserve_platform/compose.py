"""Docker Compose for one project."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twinserve_platform.problem import Problem


@dataclass(frozen=True)
class Container:
    """One container of the project, as `docker compose ps` gives it.

    Attributes:
        state: `running`, `exited`, `restarting`, …
        health: `healthy`, `unhealthy`, `starting`, or empty where there is no health check.
    """

    id: str
    name: str
    service: str
    state: str
    health: str
    exit_code: int
    image: str

    @property
    def well(self) -> bool:
        """Whether it does what it should: runs and is healthy, or has done its work."""
        return self.health in {"", "healthy"} if self.state == "running" else self.finished

    @property
    def finished(self) -> bool:
        """Whether it ran once and ended well."""
        return self.state == "exited" and self.exit_code == 0


@dataclass(frozen=True)
class Compose:
    """Calls `docker compose`.

    Args:
        project: name of the project, in front of the names of its containers.
        files: Compose files, later ones over earlier ones.
        environment: what the files' variables are filled from.
        profiles: besides the core.
        env_file: what they are filled from where `environment` does not have them; None: `.env` beside the files.
    """

    project: str
    files: Sequence[Path]
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    profiles: Sequence[str] = ()
    env_file: Path | None = None

    def run(self, *arguments: str, capture: bool = False, stdin: str | None = None) -> str:
        """Run it to its end; its output goes to the caller's terminal, or is given back.

        Raises:
            Problem: it failed.
        """
        done = subprocess.run(
            self.words(*arguments), env=dict(self.environment), input=stdin, text=True, check=False,
            stdin=subprocess.DEVNULL if stdin is None else None,
            stdout=subprocess.PIPE if capture else None, stderr=subprocess.PIPE if capture else None,
        )  # fmt: skip
        if done.returncode:
            said = (done.stderr or "").strip().splitlines()
            raise Problem(
                f"docker compose {arguments[0]} failed with exit code {done.returncode}"
                + (f": {said[-1]}" if said else ""),
                "See the lines above" if not capture else "Try it with `make logs` open",
            )
        return done.stdout or ""

    def words(self, *arguments: str) -> list[str]:
        """The command line."""
        files = [word for file in self.files for word in ("--file", str(file))]
        profiles = [word for profile in self.profiles for word in ("--profile", profile)]
        env_file = ["--env-file", str(self.env_file)] if self.env_file and self.env_file.exists() else []
        return ["docker", "compose", "--project-name", self.project, *env_file, *files, *profiles, *arguments]

    def containers(self, *services: str) -> list[Container]:
        """The project's containers, stopped ones too."""
        lines = self.run("ps", "--all", "--no-trunc", "--format", "json", *services, capture=True).splitlines()
        return [_container(entry) for line in lines if line for entry in _entries(line)]

    def services(self) -> list[str]:
        """Names of the services of the core and the chosen profiles."""
        return self.run("config", "--services", capture=True).split()


def _entries(line: str) -> Iterator[dict[str, Any]]:
    """One JSON object per line; earlier releases of Compose v2 print one array."""
    found = json.loads(line)
    yield from found if isinstance(found, list) else [found]


def _container(entry: Mapping[str, Any]) -> Container:
    return Container(
        id=entry["ID"], name=entry["Name"], service=entry["Service"], state=entry["State"],
        health=entry.get("Health", ""), exit_code=entry.get("ExitCode", 0), image=entry.get("Image", ""),
    )  # fmt: skip
