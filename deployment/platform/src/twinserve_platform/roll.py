"""Replace the containers of the online service by new ones, with no request lost.

New containers start beside the old ones; when they are ready and the gateway asks them, the old ones are stopped,
which drains them. Whatever goes wrong before that leaves the old ones as they were.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from twinserve_platform.compose import Compose, Container
from twinserve_platform.engine import Engine
from twinserve_platform.problem import Problem
from twinserve_platform.roll_record import RollRecord, locked_record

PAUSE_SECONDS = 0.5
ASKED_AT_MOST = 8  # servers of the gateway's server-template, deployment/gateway/haproxy.cfg
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Limits:
    """How long to wait, in seconds: until new containers are healthy, and then until the gateway asks them."""

    healthy: float = 180.0
    gateway: float = 30.0


def roll(compose: Compose, tell: Tell, *, force: bool = False, limits: Limits = Limits()) -> bool:
    """Replace the online service's containers; their number stays.

    Args:
        compose: the project as it should be.
        force: also when that is what runs already.

    Returns:
        Whether they were replaced.

    Raises:
        Problem: a roll is under way already, there are more containers than the gateway can ask twice of, or a new
            one does not get ready: it is removed, and the old ones serve as before.
    """
    with locked_record(compose.files[0].parent / ".twinserve" / "deploy" / f"{compose.project}.json") as record:
        return _Roll(compose, Engine(compose.environment), record, tell, limits).run(force=force)


class _Roll:
    SERVICE, GATEWAY = "online", "gateway"

    def __init__(self, compose: Compose, engine: Engine, record: RollRecord, tell: Tell, limits: Limits) -> None:
        self._compose, self._engine, self._record, self._tell, self._limits = compose, engine, record, tell, limits

    def run(self, *, force: bool) -> bool:
        self._finish_what_was_cut_off()
        old = self._remaining()
        if not force and old and self._is_wanted(old):
            self._tell(f"{self.SERVICE} runs this release already")
            return False
        if self._some_serve(old):
            self._replace({container.id for container in old})
        else:
            self._start_anew(max(1, len(old)))
        return True

    def _start_anew(self, count: int) -> None:
        """Where nothing serves there is nothing to keep, and what is missing, a model say, may come only later."""
        self._tell(f"no {self.SERVICE} container is ready: starting the release in its place, without waiting")
        self._up(count)

    def _replace(self, old: Collection[str]) -> None:
        self._needed_room(len(old))
        self._record.begin(old)
        try:
            new = self._started(old)
            self._await_healthy(old)
            self._await_gateway(new)
        except BaseException:  # Ctrl-C too
            self._withdraw(old)
            self._record.end()
            raise
        try:
            self._retire(old)
        except KeyboardInterrupt:
            self._tell("the new ones serve; the next deploy removes what is left of the old ones")
            raise
        self._record.end()

    def _needed_room(self, count: int) -> None:
        most = ASKED_AT_MOST // 2
        if count > most and self._gateway_runs():
            raise Problem(
                f"{count} {self.SERVICE} containers can't be rolled: the gateway asks {ASKED_AT_MOST}, new and old",
                f"docker compose up --detach --no-recreate --scale {self.SERVICE}={most} {self.SERVICE}",
            )

    def _containers(self) -> list[Container]:
        return self._compose.containers(self.SERVICE)

    def _remaining(self) -> list[Container]:
        """The containers that run; those that have ended are removed, or Compose would start them again."""
        found = self._containers()
        self._engine.remove([container.id for container in found if container.state in {"exited", "dead", "created"}])
        return [container for container in found if container.state in {"running", "restarting", "paused"}]

    def _is_wanted(self, containers: list[Container]) -> bool:
        wanted = self._compose.run("config", "--hash", self.SERVICE, capture=True).split()[-1]
        return all(container.health != "unhealthy" for container in containers) and all(
            found.config_hash == wanted and found.image == self._engine.image_id(found.image_name)
            for found in self._engine.details([container.id for container in containers])
        )

    def _some_serve(self, containers: list[Container]) -> bool:
        """Whether one is healthy, or is asked by the gateway already: that is the quicker of the two to see it."""
        if any(container.well for container in containers):
            return True
        details = self._engine.details([container.id for container in containers])
        return self._gateway_runs() and any(found.addresses & self._asked() for found in details)

    def _started(self, old: Collection[str]) -> list[str]:
        self._tell(f"starting {len(old)} new beside {len(old)} old")
        self._up(2 * len(old), "--no-recreate")
        new = self._new(old)
        if len(new) != len(old):
            raise Problem(f"Compose started {len(new)} new containers of {len(old)}", "The old ones serve as before")
        return new

    def _up(self, count: int, *options: str) -> None:
        scale = f"{self.SERVICE}={count}"
        self._compose.run(
            "up", "--detach", "--no-deps", "--no-build", *options, "--scale", scale, self.SERVICE, capture=True
        )

    def _new(self, old: Collection[str]) -> list[str]:
        return [container.id for container in self._containers() if container.id not in old]

    def _await_healthy(self, old: Collection[str]) -> None:
        deadline = time.monotonic() + self._limits.healthy
        while ill := [c for c in self._containers() if c.id not in old and not (c.state == "running" and c.well)]:
            ended = ill[0].state in {"exited", "dead", "restarting"}
            if ended or time.monotonic() > deadline:
                self._quote(ill[0])
                why = f"has ended, exit code {ill[0].exit_code}" if ended else "does not get ready"
                raise Problem(f"the new {ill[0].name} {why}", "The old ones serve as before; its last lines are above")
            time.sleep(PAUSE_SECONDS)

    def _await_gateway(self, new: Collection[str]) -> None:
        if not self._gateway_runs():
            self._tell("no gateway runs")
            return
        waited_for = {found.id: found.addresses for found in self._engine.details(list(new))}
        deadline = time.monotonic() + self._limits.gateway
        while not all(addresses & self._asked() for addresses in waited_for.values()):
            if time.monotonic() > deadline:
                raise Problem("the gateway does not see the new containers", "`make logs SERVICE=gateway` may say why")
            time.sleep(PAUSE_SECONDS)

    def _gateway_runs(self) -> bool:
        return any(container.state == "running" for container in self._compose.containers(self.GATEWAY))

    def _asked(self) -> frozenset[str]:
        """The addresses that the gateway sends requests to."""
        return frozenset(self._compose.run("exec", "-T", self.GATEWAY, "gateway-servers", capture=True).split())

    def _retire(self, old: Collection[str]) -> None:
        self._tell(f"the new ones serve; stopping {len(old)} old")
        for killed in self._engine.retire(sorted(old)):
            self._tell(f"{killed[:12]} did not stop in time and was killed")

    def _withdraw(self, old: Collection[str]) -> None:
        self._tell("taking the new ones back; the old ones serve as before")
        self._engine.remove(self._new(old))

    def _finish_what_was_cut_off(self) -> None:
        """Once an old one was stopped, the new ones had been ready; before that they may not have been."""
        old = self._record.begun()
        if old:
            self._tell("the last deploy was cut off")
            found = self._containers()
            if old <= {container.id for container in found if container.state == "running"}:
                self._withdraw(old)
            else:
                self._retire(old & {container.id for container in found})
        self._record.end()

    def _quote(self, container: Container) -> None:
        for line in self._engine.last_lines(container.id):
            self._tell(f"  {container.name}  {line}")
