"""What the commands work on: a checkout, its env file, its Compose project."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from twinserve_platform.compose import Compose
from twinserve_platform.engine import Engine
from twinserve_platform.problem import Problem
from twinserve_platform.secrets_file import SECRETS, missing_secrets, read_env

PROFILES = ("streaming", "monitoring", "logging", "ci", "notebook")
PROJECT = "twinserve"
# the second is the user's own, as Compose by hand reads it too
FILES = ("docker-compose.yml", "docker-compose.override.yml")
SOCKET = "/var/run/docker.sock"
TASK_LABEL = "io.twinserve.task"


@dataclass(frozen=True)
class Platform:
    """One installation of the platform.

    Args:
        root: folder of `docker-compose.yml`.
        env_file: where Compose reads its variables, and the secrets are kept.
        environment: of the caller; what it holds wins over `env_file`.
    """

    root: Path
    env_file: Path
    environment: Mapping[str, str]

    @property
    def engine(self) -> Engine:
        """The engine that it runs on."""
        return Engine(self.environment)

    def variable(self, name: str, default: str = "") -> str:
        """A variable of the environment or else of the env file."""
        return self.environment.get(name) or read_env(self.env_file).get(name) or default

    @property
    def project(self) -> str:
        """The Compose project: in front of the names of containers, networks and volumes."""
        return self.variable("COMPOSE_PROJECT_NAME", PROJECT)

    @property
    def running_tag(self) -> str:
        """The release that was started last, empty if none was."""
        return read_env(self.env_file).get("TAG", "")

    @property
    def wanted_tag(self) -> str:
        """The release of this checkout.

        Raises:
            Problem: nobody says which.
        """
        tag = self.environment.get("TAG", "")
        if not tag:
            raise Problem("TAG is not set", "Call this by `make`, or set it to the images' tag")
        return tag

    def compose(self, tag: str, profiles: Sequence[str] = ()) -> Compose:
        """Compose for the images of one release.

        A secret that nobody has set is `none`: to stop and to look, Compose asks for all of them too.
        """
        given = {name: value for name, value in self.environment.items() if value or name not in SECRETS}
        environment = {
            **dict.fromkeys(missing_secrets(self.env_file, self.environment), "none"),
            **given,
            "COMPOSE_PROJECT_NAME": self.project,
            "TAG": tag or "none",
            # not as noted in the env file: the group changes when Docker is installed again
            "DOCKER_GID": given.get("DOCKER_GID") or socket_group(self.variable("DOCKER_SOCKET", SOCKET)),
        }
        files = [self.root / name for name in FILES if (self.root / name).exists()]
        return Compose(self.project, files, environment, profiles, self.env_file)

    def task_containers(self) -> list[str]:
        """Ids of the containers of Airflow's tasks, running or not."""
        return self.engine.labelled(TASK_LABEL, f"{self.project}_backend")

    def has_volume(self, name: str) -> bool:
        """Whether a volume of an earlier start is there; there is none without a name."""
        return bool(name) and f"{self.project}_{name}" in self.engine.volumes()


def socket_group(socket: str) -> str:
    """The group that may use the Docker socket; 0 where it is on another machine, as with Docker Desktop."""
    try:
        return str(os.stat(socket).st_gid)  # noqa: PTH116 - as the kernel says it, not as a path
    except OSError:
        return "0"
