"""One container of one task: created, followed to its end, and removed whatever happens."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowException
from docker.errors import APIError, DockerException, NotFound
from output_lines import OutputLines
from requests.exceptions import RequestException

if TYPE_CHECKING:
    from docker import APIClient

# Airflow gives a task five seconds from SIGTERM to SIGKILL: the container must be gone before
GRACE_SECONDS = 3
# from the end of the output to the end of the process; longer means that the connection broke, not that it ended
ENDING_SECONDS = 10
REMOVAL_SECONDS = 10
TASK_LABEL, RUN_LABEL, UNTIL_LABEL = "io.twinserve.task", "io.twinserve.run", "io.twinserve.until"
CONFLICT = 409

logger = logging.getLogger(__name__)


class TaskContainer:
    """A container that is streamed line by line.

    It is spoken of by its id: its name may be another try's by now, whose worker took this one's for dead.

    Args:
        connect: makes a client of the engine; each caller gets its own, since a signal may interrupt another one.
        name: the container's, the same for every try of a task.
        tell: takes a format and a line, for each line that the command prints.
    """

    def __init__(self, connect: Callable[[], APIClient], name: str, tell: Callable[..., None]) -> None:
        self._connect, self._name, self._tell = connect, name, tell
        self.last_output = ""
        self.last_error = ""
        self.out_of_memory = False
        self._id = ""  # of the container, once there is one
        self._stopped = False

    def run(self, arguments: Mapping[str, Any], limits: Mapping[str, Any]) -> int:
        """Run it to its end; gives the exit code.

        Args:
            arguments: of the client's `create_container`.
            limits: of its `create_host_config`.

        Raises:
            AirflowException: the connection broke while it ran, another try removed it, or `stop` came before it ran.
        """
        client = self._connect()
        remove_what_is_overdue(client)
        self._remove_of_earlier_try(client)
        config = client.create_host_config(**limits)
        self._go_on_unless_stopped()
        self._id = str(client.create_container(name=self._name, host_config=config, **arguments)["Id"])
        # attached before it starts: not a line is missed
        output = client.attach(self._id, stdout=True, stderr=True, stream=True, demux=True)
        self._go_on_unless_stopped()
        client.start(self._id)  # what `stop` has removed by now is not found
        self._follow(output)
        return self._ended(client)

    def _go_on_unless_stopped(self) -> None:
        # a signal's handler returns to where it broke in: nothing else would keep this from going on
        if self._stopped:
            raise AirflowException(f"was stopped before container {self._name} ran")

    def _remove_of_earlier_try(self, client: APIClient) -> None:
        # whoever started it is gone (its worker was killed), but it may still write the run that this try writes
        with suppress(NotFound):
            found = str(client.inspect_container(self._name)["Id"])
            self._tell("Stopping container %s, which an earlier try left behind", self._name)
            stop_and_remove(client, found)

    def _follow(self, output: Any) -> None:
        streams = OutputLines(), OutputLines()
        for pieces in output:
            self._take(*(lines.feed(piece or b"") for lines, piece in zip(streams, pieces, strict=True)))
        self._take(*(lines.feed(b"", end=True) for lines in streams))

    def _take(self, output: list[str], errors: list[str]) -> None:
        for line in output + errors:
            self._tell("%s", line)
        self.last_output = output[-1] if output else self.last_output
        self.last_error = errors[-1] if errors else self.last_error

    def _ended(self, client: APIClient) -> int:
        try:
            code = int(client.wait(self._id, timeout=ENDING_SECONDS)["StatusCode"])
        except NotFound:
            raise AirflowException(f"container {self._name} was removed, by another try or by hand") from None
        except RequestException:
            raise AirflowException(f"lost the connection to container {self._name} while it ran") from None
        if code:
            with suppress(NotFound):
                self.out_of_memory = bool(client.inspect_container(self._id)["State"]["OOMKilled"])
        return code

    def stop(self) -> None:
        """SIGTERM, SIGKILL after a grace, and remove it; an engine that is not there just now is waited for shortly.

        What has not run yet won't: one that is just being created is removed by another `stop`, after `run`.
        """
        self._stopped = True
        deadline = time.monotonic() + REMOVAL_SECONDS
        while self._id and not self._removed() and time.monotonic() < deadline:
            time.sleep(1)

    def _removed(self) -> bool:
        try:
            stop_and_remove(self._connect(), self._id)
        except (AirflowException, DockerException, RequestException) as error:
            self._tell("Could not remove container %s, which the next try does: %s", self._name, error)
            return False
        return True


def stop_and_remove(client: APIClient, container_id: str) -> None:
    """Stop a container and remove it; one that is not there is fine."""
    with suppress(NotFound):
        client.stop(container_id, timeout=GRACE_SECONDS)
    try:
        client.remove_container(container_id, force=True)
    except NotFound:
        return
    except APIError as error:
        if error.status_code != CONFLICT:  # somebody else is just removing it
            raise


def remove_what_is_overdue(client: APIClient) -> None:
    """Remove containers whose task can't run any more: its time was up, and nobody was left to remove them.

    One that can't be removed is logged: it must not keep the tasks that come next from running.
    """
    for container in client.containers(all=True, filters={"label": [TASK_LABEL]}):
        until = container["Labels"].get(UNTIL_LABEL, "")
        if until.isdecimal() and int(until) < time.time():
            _try_to_remove(client, container["Id"])


def _try_to_remove(client: APIClient, container_id: str) -> None:
    try:
        stop_and_remove(client, container_id)
    except (DockerException, RequestException) as error:
        logger.warning("container %s is past its time and could not be removed: %s", container_id, error)
