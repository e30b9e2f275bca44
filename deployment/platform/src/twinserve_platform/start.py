"""`make up` and `make down`."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence

from twinserve_platform.images import needed_images
from twinserve_platform.platform import PROFILES, Platform
from twinserve_platform.problem import Problem
from twinserve_platform.secrets_file import add_missing_secrets, set_variable
from twinserve_platform.waiting import await_well

WAIT_SECONDS = 420.0
# ready only when there is a champion to serve: a new platform has none
NOT_AWAITED = ("online",)
Tell = Callable[[str], None]


def up(platform: Platform, profiles: Sequence[str], tell: Tell) -> None:
    """Start the release of this checkout, or bring what runs to it, and wait until all is well.

    The online service that answers already is left alone: replacing it without a gap is what `deploy` does.

    Raises:
        Problem: something is missing, or does not get well.
    """
    tag = platform.wanted_tag
    prepare_env(platform, tell)
    compose = platform.compose(tag, profiles)
    needed_images(compose, tag)
    set_variable(platform.env_file, "TAG", tag)
    set_variable(platform.env_file, "DOCKER_GID", compose.environment["DOCKER_GID"])
    answering = any(container.state == "running" for container in compose.containers("online"))
    services = [name for name in compose.services() if not (answering and name == "online")]
    compose.run("up", "--detach", *services)
    await_well(compose, WAIT_SECONDS, tell, NOT_AWAITED)


def prepare_env(platform: Platform, tell: Tell) -> None:
    """Make the secrets that `.env` lacks.

    Raises:
        Problem: the volumes hold data behind passwords that are lost.
    """
    known = bool(platform.variable("POSTGRES_PASSWORD"))
    if not known and platform.has_volume("postgres"):
        raise Problem(
            f"the volume {platform.project}_postgres is there, but {platform.env_file} does not hold its passwords",
            "Bring the file back, or give the data up with `make down VOLUMES=1`",
        )
    if made := add_missing_secrets(platform.env_file, platform.environment):
        tell(f"made {len(made)} secrets in {platform.env_file}")


def down(platform: Platform, *, volumes: bool, tell: Tell) -> None:
    """Stop and remove all containers, those of tasks too; with `volumes`, all data."""
    compose = platform.compose(platform.running_tag, [*PROFILES, "cli"])
    if compose.containers("airflow-scheduler"):
        compose.run("stop", "airflow-scheduler")  # before its tasks, which it would start again
    if tasks := platform.task_containers():
        tell(f"removing {len(tasks)} containers of tasks")
        subprocess.run(["docker", "rm", "--force", *tasks], capture_output=True, check=False)
    compose.run("down", "--remove-orphans", *(["--volumes"] if volumes else []))
