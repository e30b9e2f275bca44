"""Waiting until the platform is well."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from twinserve_platform.compose import Compose, Container
from twinserve_platform.problem import Problem

PAUSE_SECONDS = 1.0


def await_well(
    compose: Compose, seconds: float, tell: Callable[[str], None], passed_over: Collection[str] = ()
) -> list[Container]:
    """Wait until every container of the project is healthy, or has done its work.

    Args:
        compose: the project, with the profiles that were started.
        seconds: how long.
        tell: takes a line each time what is waited for changes.
        passed_over: services that are not waited for.

    Returns:
        All containers, those passed over too.

    Raises:
        Problem: a container ended with an error, or the time is up; names the services.
    """
    deadline, told = time.monotonic() + seconds, ""
    while True:
        containers = compose.containers(*compose.services())
        ill = [c for c in containers if not c.well and c.service not in passed_over]
        if failed := [c for c in ill if c.state in {"exited", "dead"}]:
            raise _failed(failed)
        if not ill:
            return containers
        waiting = ", ".join(sorted({c.service for c in ill}))
        if time.monotonic() > deadline:
            raise Problem(f"not healthy after {seconds:.0f} s: {waiting}", "`make logs SERVICE=…` shows why")
        if waiting != told:
            tell(f"waiting for {waiting}")
            told = waiting
        time.sleep(PAUSE_SECONDS)


def _failed(containers: list[Container]) -> Problem:
    said = ", ".join(f"{c.service} (exit code {c.exit_code})" for c in containers)
    return Problem(f"stopped: {said}", f"`make logs SERVICE={containers[0].service}` shows why")
