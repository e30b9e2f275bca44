"""Single services of the Compose file in a project of their own, beside whatever else runs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from docker_platform import ROOT, platform_environment
from platform_under_test import free_port

from twinserve_platform.compose import Compose
from twinserve_platform.platform import PROFILES, Platform
from twinserve_platform.secrets_file import add_missing_secrets, read_env
from twinserve_platform.waiting import await_well

PORTS = ("PROMETHEUS_PORT", "ALERTMANAGER_PORT", "ONLINE_PORT", "JUPYTER_PORT")
START_SECONDS = 180.0


@dataclass(frozen=True)
class ProfileProject:
    """A project of which only named services run."""

    compose: Compose
    env_file: Path

    @property
    def name(self) -> str:
        """Its Compose project."""
        return self.compose.project

    @property
    def network(self) -> str:
        """The network of its servers."""
        return f"{self.name}_backend"

    def start(self, *services: str) -> None:
        """Start these and no others, and wait until they are healthy."""
        self.compose.run("up", "--detach", "--no-deps", *services)
        await_well(self.compose, START_SECONDS, lambda _: None, ())

    def execute(self, service: str, *command: str, stdin: str = "") -> str:
        """Run a command in a container of a service; gives what it prints."""
        return self.compose.run("exec", "--no-TTY", service, *command, capture=True, stdin=stdin)

    def url(self, port: str) -> str:
        """Base URL of a published port, by the name of its variable."""
        return f"http://127.0.0.1:{self.compose.environment[port]}"

    def secret(self, name: str) -> str:
        """One of its secrets."""
        return read_env(self.env_file)[name]


@contextmanager
def profile_project(folder: Path, name: str, tag: str, overrides: Sequence[Path] = ()) -> Iterator[ProfileProject]:
    """A project with secrets of its own and free ports; gone with its data at the end.

    Args:
        overrides: Compose files over ours.
    """
    env_file = folder / "env"
    environment = platform_environment(tag, f"twinserve-test-{name}") | {port: str(free_port()) for port in PORTS}
    add_missing_secrets(env_file, {})
    made = Platform(ROOT, env_file, environment).compose(tag, PROFILES)
    compose = Compose(made.project, [*made.files, *overrides], made.environment, PROFILES, env_file)
    project = ProfileProject(compose, env_file)
    compose.run("down", "--volumes", "--remove-orphans", capture=True)  # of a test that was interrupted
    try:
        yield project
    finally:
        compose.run("down", "--volumes", "--remove-orphans", capture=True)


@contextmanager
def container(*words: str) -> Iterator[str]:
    """A container that runs beside the project; removed at the end."""
    started = subprocess.run(["docker", "run", "--detach", *words], capture_output=True, text=True, check=False)
    assert started.returncode == 0, started.stderr
    identity = started.stdout.strip()
    try:
        yield identity
    finally:
        subprocess.run(["docker", "rm", "--force", "--volumes", identity], capture_output=True, check=True)


def has_image(image: str) -> bool:
    """Whether an image is on this machine."""
    return subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False).returncode == 0
