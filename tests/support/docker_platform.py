"""The platform of this checkout in containers, as a project of its own beside one that may be running."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from twinserve_local.airflow_api import AirflowApi
from twinserve_platform.compose import Compose
from twinserve_platform.platform import TASK_LABEL, Platform
from twinserve_platform.secrets_file import read_env

ROOT = Path(__file__).parents[2]
HOME = "/var/lib/twinserve"
PORTS = {"ONLINE_PORT": "18172", "AIRFLOW_PORT": "18080", "MLFLOW_PORT": "15000", "PROMETHEUS_PORT": "19090"}


@dataclass(frozen=True)
class DockerPlatform:
    """A platform that runs.

    Args:
        env_file: its secrets.
        environment: what its commands are called with.
    """

    env_file: Path
    environment: dict[str, str]

    @property
    def project(self) -> str:
        """Its Compose project."""
        return self.environment["COMPOSE_PROJECT_NAME"]

    @property
    def online(self) -> str:
        """Base URL of the online service."""
        return f"http://127.0.0.1:{self.environment['ONLINE_PORT']}"

    @property
    def airflow(self) -> str:
        """Base URL of Airflow."""
        return f"http://127.0.0.1:{self.environment['AIRFLOW_PORT']}"

    @property
    def mlflow(self) -> str:
        """Base URL of MLflow."""
        return f"http://127.0.0.1:{self.environment['MLFLOW_PORT']}"

    @property
    def compose(self) -> Compose:
        """Compose for it, with every service that a test may name."""
        return Platform(ROOT, self.env_file, self.environment).compose(self.environment["TAG"], ["cli"])

    def secret(self, name: str) -> str:
        """One of its secrets."""
        return read_env(self.env_file)[name]

    def tool(self, *arguments: str) -> str:
        """Call the tool behind the `make` targets; gives what it says."""
        words = [sys.executable, "-m", "twinserve_platform", "--root", str(ROOT), "--env-file", str(self.env_file)]
        done = subprocess.run(
            [*words, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return done.stdout

    def pipeline(self, service: str, *command: str) -> dict[str, Any]:
        """Run one command by hand in a container; gives the JSON object that it prints last."""
        said = self.compose.run("run", "--rm", "--no-TTY", "--no-deps", service, *command, capture=True)
        return dict(json.loads(said.splitlines()[-1]))

    @contextmanager
    def api(self) -> Iterator[AirflowApi]:
        """Airflow's REST API, logged in."""
        login = {"username": "admin", "password": self.secret("AIRFLOW_ADMIN_PASSWORD")}
        with httpx.Client(base_url=self.airflow, timeout=60, trust_env=False) as client:
            token = client.post("/auth/token", json=login).raise_for_status().json()["access_token"]
            client.headers["Authorization"] = f"Bearer {token}"
            yield AirflowApi(client)

    def files(self, folder: str, target: Path) -> Path:
        """Copy a folder of the data volume to `target`; gives the copy."""
        words = ["docker", "run", "--rm", "--volume", f"{self.project}_data:{HOME}:ro", self.image("data_pipeline")]
        packed = subprocess.run([*words, "tar", "-C", HOME, "-c", folder], capture_output=True, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(target, filter="data")
        return target / folder

    def put(self, name: str, content: str) -> str:
        """Write a file into the data volume; gives its path there."""
        words = ["docker", "run", "--rm", "--interactive", "--volume", f"{self.project}_data:{HOME}"]
        script = f"mkdir -p $(dirname {HOME}/{name}) && cat > {HOME}/{name}"
        subprocess.run([*words, self.image("data_pipeline"), "sh", "-c", script], input=content, text=True, check=True)
        return f"{HOME}/{name}"

    def image(self, name: str) -> str:
        """One of our images."""
        return f"{self.environment.get('DOCKER_USER', 'local')}/twinserve/{name}:{self.environment['TAG']}"

    def running_tasks(self) -> dict[str, str]:
        """The containers of the tasks that run right now, by `<dag>.<task>`."""
        words = ["docker", "ps", "--filter", f"label={TASK_LABEL}", "--filter", f"network={self.project}_backend"]
        shown = f'{{{{.Label "{TASK_LABEL}"}}}} {{{{.ID}}}}'
        found = subprocess.run([*words, "--format", shown], capture_output=True, text=True, check=True).stdout
        return dict(line.split() for line in found.splitlines())

    def task_container(self, dag_id: str, task_id: str) -> str | None:
        """The container that runs a task right now."""
        return self.running_tasks().get(f"{dag_id}.{task_id}")

    def task_containers(self) -> list[str]:
        """All containers of tasks, running or left."""
        return Platform(ROOT, self.env_file, self.environment).task_containers()


def platform_environment(tag: str, project: str = "twinserve-test") -> dict[str, str]:
    """What the commands of a test platform are called with: nothing of the caller's settings but Docker's."""
    kept = ("PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_USER", "DOCKER_SOCKET")
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        **PORTS,
        "PYTHONPATH": str(ROOT / "deployment" / "platform" / "src"),
        "COMPOSE_PROJECT_NAME": project,
        "TAG": tag,
        # a retry need not be waited for as long as on a busy platform
        "TWINSERVE_TASK_RETRY_SECONDS": "1",
        "AIRFLOW_TASK_HEARTBEAT_TIMEOUT": "15",
        # a DAG that is switched on would first catch up with its schedule
        "AIRFLOW_USE_JOB_SCHEDULE": "False",
    }
