"""Runtime `docker`: a pipeline command in a container of the pipeline's image."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.docker.hooks.docker import DockerHook
from airflow.providers.docker.operators.docker import DockerOperator
from airflow.sdk.exceptions import AirflowException
from command_line import given, without_passwords
from command_outcome import outcome
from container_settings import ContainerSettings, container_environment
from docker.types import LogConfig, Mount
from docker_problems import engine_problems
from result_parts import handed_on
from task_container import RUN_LABEL, TASK_LABEL, UNTIL_LABEL, TaskContainer

if TYPE_CHECKING:
    from airflow.sdk import Context
    from docker import APIClient

DATA_ROOT = "/var/lib/twinserve"  # of the pipelines' images
LONGEST_NAME = 100
KILLED = 137  # 128 + SIGKILL, as the engine reports it
OVERDUE_SECONDS = 300  # past the time limit of its task
MOST_PROCESSES = 1024


class DockerCommand(DockerOperator):
    """Runs a console script in a container; its output is the task's log, its last line of output the XCom.

    DockerOperator's own way of running one mixes standard output with standard error, has no read-only root and pulls
    images; its connection and its place among Airflow's operators are what is used of it.

    Args:
        command: console script and subcommands.
        options: option names and (templated) values; an empty value drops the option.
        part: further options, those of one part where the task is mapped.
        parts: the field of the result that counts the parts over which the next task is mapped.
    """

    template_fields = ("options",)
    template_fields_renderers = {"options": "json"}  # noqa: RUF012 - declared so by Airflow
    template_ext = ()  # else a value that ends in .sh or .env would be taken for a file with a template

    def __init__(
        self,
        *,
        command: Sequence[str],
        options: Mapping[str, str],
        part: Mapping[str, str] | None = None,
        parts: str = "",
        **kwargs: Any,
    ) -> None:
        # the image is known when the task runs: whatever was deployed last
        super().__init__(image="", command=list(command), mount_tmp_dir=False, auto_remove="force", **kwargs)
        self.words = list(command)
        self.options = dict(options)
        self.part = dict(part or {})
        self.parts = parts
        self._container: TaskContainer | None = None
        self._killed = False

    def execute(self, context: Context) -> Any:
        """Run the command.

        Returns:
            The JSON object that the command printed last, or its parts: see `handed_on`.

        Raises:
            AirflowFailException: trying again won't help: bad input, wrong usage, a bug, no such image, not allowed.
            AirflowException: it may.
        """
        settings = ContainerSettings.of(os.environ)
        image = settings.image(self.words[0])
        words = [*self.words, *given(self.options | self.part)]
        self.log.info("Running %s in %s", without_passwords(shlex.join(words)), image)
        instance = context["ti"]
        self._container = TaskContainer(self._connect, container_name(instance, settings.volume), self._tell)
        arguments = {
            "image": image,
            "command": words,
            "environment": container_environment(os.environ),
            "labels": self._labels(instance),
        }
        if self._killed:  # before there was a container to be told
            self._container.stop()
        with engine_problems(str(self.docker_url), image):
            try:
                code = self._container.run(arguments, limits(settings))
            finally:
                self._container.stop()
        return handed_on(self._outcome(code, self._container, settings), self.parts, context)

    def _outcome(self, code: int, container: TaskContainer, settings: ContainerSettings) -> dict[str, Any]:
        name = " ".join(self.words)
        if code == KILLED and container.out_of_memory:
            raise AirflowException(f"{name} ran out of memory. Its limit is TWINSERVE_TASK_MEMORY={settings.memory}")
        code = -9 if code == KILLED else code
        return outcome(name, code, container.last_output, without_passwords(container.last_error))

    def _labels(self, instance: Any) -> dict[str, str]:
        labels = {TASK_LABEL: f"{instance.dag_id}.{instance.task_id}", RUN_LABEL: str(instance.run_id)}
        if self.execution_timeout:
            until = time.time() + self.execution_timeout.total_seconds() + OVERDUE_SECONDS
            labels[UNTIL_LABEL] = str(int(until))
        return labels

    def _connect(self) -> APIClient:
        hook = DockerHook(docker_conn_id=None, base_url=self.docker_url, timeout=self.timeout)
        try:
            return hook.get_conn()
        except AirflowException:  # the hook has logged the reason
            message = f"no Docker engine answers at {self.docker_url}. Is it running, and docker-gate before it?"
            raise AirflowException(message) from None

    def _tell(self, form: str, *values: object) -> None:
        self.log.info(form, *(without_passwords(str(value)) for value in values))

    def on_kill(self) -> None:
        """Stop the container and remove it; one that has not started won't."""
        self._killed = True
        if self._container:
            self._container.stop()


def container_name(instance: Any, volume: str) -> str:
    """The same for every try of a task, another one for every other task, run, map index and data root."""
    parts = [str(part) for part in (instance.dag_id, instance.task_id, instance.run_id, instance.map_index)]
    readable = re.sub(r"[^A-Za-z0-9_.-]", "_", "-".join(parts[:3]))[:LONGEST_NAME]
    digest = hashlib.sha256("\0".join([volume, *parts]).encode()).hexdigest()
    return f"task-{readable}-{digest[:12]}"


def limits(settings: ContainerSettings) -> dict[str, Any]:
    """What the container may use: the data root, a network, so much memory and processor; nothing of the host."""
    return {
        "mounts": [Mount(target=DATA_ROOT, source=settings.volume, type="volume")],
        "network_mode": settings.network,
        "mem_limit": settings.memory,
        "memswap_limit": settings.memory,  # no swap besides
        "nano_cpus": round(settings.cpus * 1e9),
        "pids_limit": MOST_PROCESSES,
        "read_only": True,
        "tmpfs": {"/tmp": ""},  # noqa: S108 - in the container
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "init": True,
        "log_config": LogConfig(type="json-file", config={"max-size": "10m", "max-file": "2"}),
    }
