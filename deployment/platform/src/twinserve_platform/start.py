"""`make up` and `make down`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from twinserve_platform.compose import Compose
from twinserve_platform.images import needed_images
from twinserve_platform.platform import PROFILES, Platform
from twinserve_platform.problem import Problem
from twinserve_platform.roll import roll
from twinserve_platform.secrets_file import BEHIND, add_missing_secrets, missing_secrets, set_variable
from twinserve_platform.waiting import await_well

WAIT_SECONDS = 420.0
MODEL_SECONDS = 20.0
# ready only when there is a champion to serve: a new platform has none
NOT_AWAITED = ("online",)
ALERTMANAGER = "http://alertmanager:9093"
Tell = Callable[[str], None]


def up(platform: Platform, profiles: Sequence[str], tell: Tell) -> None:
    """Start the release of this checkout, or bring what runs to it, and wait until all is well.

    An online service that answers already is replaced without a gap.

    Raises:
        Problem: something is missing, or does not get well.
    """
    tag = platform.wanted_tag
    prepare_env(platform, profiles, tell)
    compose = platform.compose(tag, profiles)
    needed_images(compose, tag)
    answering = any(container.health == "healthy" for container in compose.containers("online"))
    if answering:
        roll(compose, tell)  # first: a release that does not get ready changes nothing
    compose.run("up", "--detach", *(name for name in compose.services() if not (answering and name == "online")))
    await_well(compose, WAIT_SECONDS, tell, NOT_AWAITED)
    await_model(compose, tell)
    set_variable(platform.env_file, "TAG", tag)


def await_model(compose: Compose, tell: Tell) -> None:
    """Wait a little for the online service; one that has no model yet is no failure, but is said."""
    try:
        await_well(compose, MODEL_SECONDS, tell)
    except Problem:
        tell("the online service is not ready yet: `make logs SERVICE=online` shows what it waits for")
        tell("  on a new platform it is a champion: docs/guide/platform.md says how to get there")


def prepare_env(platform: Platform, profiles: Sequence[str], tell: Tell) -> None:
    """Make the secrets that the env file lacks, and note there what Compose by hand needs to mean the same platform.

    Raises:
        Problem: volumes hold data behind secrets that are lost.
    """
    file = platform.env_file
    missing = missing_secrets(file, platform.environment)
    if lost := [name for name in missing if platform.has_volume(BEHIND.get(name, ""))]:
        volumes = ", ".join(sorted({f"{platform.project}_{BEHIND[name]}" for name in lost}))
        raise Problem(
            f"{file} has no {', '.join(lost)}, and the data of {volumes} is behind it",
            "Bring the file back, or give the data up with `make down VOLUMES=1`",
        )
    if made := add_missing_secrets(file, platform.environment):
        tell(f"made {len(made)} secrets in {file}")
    set_variable(file, "COMPOSE_PROJECT_NAME", platform.project)
    set_variable(file, "DOCKER_GID", platform.compose("").environment["DOCKER_GID"])
    if "monitoring" in profiles and not platform.variable("TWINSERVE_ALERTMANAGER_URL"):
        set_variable(file, "TWINSERVE_ALERTMANAGER_URL", ALERTMANAGER)


def down(platform: Platform, *, volumes: bool, tell: Tell) -> None:
    """Stop and remove all containers, those of tasks too; with `volumes`, all data."""
    compose = platform.compose(platform.running_tag, [*PROFILES, "cli"])
    if compose.containers("airflow-scheduler"):
        compose.run("stop", "airflow-scheduler")  # before its tasks, which it would start again
    if tasks := platform.task_containers():
        tell(f"removing {len(tasks)} containers of tasks")
        with suppress(Problem):  # one that is going by itself can't be removed, and need not be
            platform.engine.remove(tasks)
    compose.run("down", "--remove-orphans", *(["--volumes"] if volumes else []))
