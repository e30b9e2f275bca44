"""The Docker engine, for what Compose has no word for: single containers, images, volumes."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twinserve_platform.problem import Problem

KILLED = 137
LAST_LINES = 15


@dataclass(frozen=True)
class Details:
    """What the engine knows of one container.

    Attributes:
        image: id of the image that it runs.
        image_name: the name by which the image was asked for.
        config_hash: of the service's definition at the time, as Compose has it.
        addresses: in the networks that it is in.
    """

    id: str
    image: str
    image_name: str
    config_hash: str
    addresses: frozenset[str]
    exit_code: int


class Engine:
    """Calls `docker`, with the environment that Compose is called with."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)

    def details(self, ids: Sequence[str]) -> list[Details]:
        """What the engine knows of these containers.

        Raises:
            Problem: one of them is gone.
        """
        return (
            [_details(entry) for entry in json.loads(self._run("inspect", "--type", "container", *ids))] if ids else []
        )

    def image_id(self, name: str) -> str:
        """The image's id, empty where it is not on this machine."""
        found = self._call("image", "inspect", "--format", "{{.Id}}", name)
        return found.stdout.strip() if found.returncode == 0 else ""

    def labelled(self, label: str, network: str) -> list[str]:
        """Ids of the containers with this label in this network, stopped ones too."""
        wanted = ("--filter", f"label={label}", "--filter", f"network={network}")
        return self._run("ps", "--all", "--quiet", *wanted).split()

    def volumes(self) -> list[str]:
        """Names of all volumes."""
        return self._run("volume", "ls", "--quiet").split()

    def retire(self, ids: Sequence[str]) -> list[str]:
        """Stop containers, each within its grace period, and remove them; gives the ids of those that were killed."""
        if not ids:
            return []
        self._run("stop", *ids)
        killed = [found.id for found in self.details(ids) if found.exit_code == KILLED]
        self._run("rm", "--volumes", *ids)
        return killed

    def remove(self, ids: Sequence[str]) -> None:
        """Remove containers where they stand."""
        if ids:
            self._run("rm", "--force", "--volumes", *ids)

    def last_lines(self, container: str) -> list[str]:
        """What a container said last, on both its outputs."""
        said = self._call("logs", "--tail", str(LAST_LINES), container)
        return (said.stdout + said.stderr).splitlines()[-LAST_LINES:]

    def needed(self) -> None:
        """Look whether there is an engine and Compose v2.

        Raises:
            Problem: there is none, or it can't be reached.
        """
        if not shutil.which("docker", path=self._environment.get("PATH")):
            raise Problem("no command `docker`", "Install Docker Engine with its Compose plug-in")
        for words, missing, fix in (
            (("compose", "version"), "Docker has no Compose v2", "Install its plug-in docker-compose-plugin"),
            (("version", "--format", "{{.Server.Version}}"), "the Docker engine can't be reached", "Start it"),
        ):
            done = self._call(*words)
            if done.returncode:
                said = (done.stderr.strip() or done.stdout.strip()).splitlines()
                raise Problem(missing + (f": {said[-1]}" if said else ""), fix)

    def _run(self, *arguments: str) -> str:
        done = self._call(*arguments)
        if done.returncode:
            said = done.stderr.strip().splitlines()
            raise Problem(f"docker {arguments[0]} failed" + (f": {said[-1]}" if said else ""), "Try it by hand")
        return done.stdout

    def _call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["docker", *arguments], env=self._environment, capture_output=True, text=True, check=False,
            errors="replace", stdin=subprocess.DEVNULL,
        )  # fmt: skip


def _details(found: Mapping[str, Any]) -> Details:
    return Details(
        id=found["Id"],
        image=found["Image"],
        image_name=found["Config"]["Image"],
        config_hash=(found["Config"]["Labels"] or {}).get("com.docker.compose.config-hash", ""),
        addresses=frozenset(
            network["IPAddress"] for network in found["NetworkSettings"]["Networks"].values() if network["IPAddress"]
        ),
        exit_code=found["State"]["ExitCode"],
    )
