"""API server, DAG processor and scheduler of a real Airflow, in a home of its own, and its REST API."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
from waiting import until

AIRFLOW = Path(sys.executable).with_name("airflow")
PARTS = {
    "api-server": ["api-server"],
    "dag-processor": ["dag-processor"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
}


class RunningAirflow:
    """What a person does with Airflow, through its API and its command line."""

    def __init__(self, client: httpx.Client, environment: Mapping[str, str], processes: Processes) -> None:
        self._client, self._environment, self._processes = client, environment, processes

    def call(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        """Call the API."""
        answer = self._client.request(method, f"/api/v2{path}", **more)
        assert answer.is_success, answer.text
        return dict(answer.json()) if answer.content else {}

    def command(self, *words: str) -> str:
        """Run `airflow …`."""
        done = subprocess.run(
            [AIRFLOW, *words], env=dict(self._environment), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """No scheduler inside the block, nor a DAG processor.

        On SQLite they make Airflow's creation of a backfill fail now and then: it reads and then writes in one
        transaction, which SQLite refuses if somebody else has written in between.
        """
        self._processes.stop("scheduler", "dag-processor")
        yield
        self._processes.start("dag-processor")
        self._processes.start("scheduler")

    def pause(self, dag_id: str, *, paused: bool) -> None:
        """Pause a DAG, or the opposite."""
        self.call("PATCH", f"/dags/{dag_id}", json={"is_paused": paused})

    def trigger(self, dag_id: str, **conf: Any) -> str:
        """Start a run by hand and wait for its end; gives its state."""
        run = self.call("POST", f"/dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": conf})
        wanted = run["dag_run_id"]
        until("the run's end", lambda: self.states(dag_id).get(wanted) in ("success", "failed"))
        return str(self.states(dag_id)[wanted])

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """All runs of a DAG."""
        return list(self.call("GET", f"/dags/{dag_id}/dagRuns", params={"limit": 100})["dag_runs"])

    def states(self, dag_id: str) -> dict[str, str]:
        """Run id → state."""
        return {run["dag_run_id"]: run["state"] for run in self.runs(dag_id)}

    def backfills(self, dag_id: str) -> list[dict[str, Any]]:
        """The backfills of a DAG that are not finished."""
        found = self.call("GET", "/backfills", params={"dag_id": dag_id})["backfills"]
        return [backfill for backfill in found if backfill["completed_at"] is None]

    def events(self, asset: str) -> list[dict[str, Any]]:
        """The extras of an asset's events, the first one first."""
        found = self.call("GET", "/assets/events", params={"limit": 100, "order_by": "timestamp"})["asset_events"]
        return [event["extra"] for event in found if event["name"] == asset]


class Processes:
    """The parts of Airflow that run, each a process of its own."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self._home, self._environment = home, environment
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        """Start a part."""
        with (self._home / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                [AIRFLOW, *PARTS[name]], env=dict(self._environment), stdout=log, stderr=log, start_new_session=True
            )

    def stop(self, *names: str) -> None:
        """Stop parts with all that they started; a task's process is a session of its own."""
        processes = [self._running.pop(name) for name in names if name in self._running]
        family = [child for process in processes for child in psutil.Process(process.pid).children(recursive=True)]
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for member in psutil.wait_procs(family, timeout=20)[1]:  # a scheduler waits for its tasks
            member.kill()
        for process in processes:
            process.kill()
            process.wait()


@contextmanager
def running_airflow(home: Path, dag_folders: Mapping[str, Path], **variables: str) -> Iterator[RunningAirflow]:
    """Start one, with these DAG folders and further environment variables; stop it and its tasks afterwards."""
    environment = os.environ | _settings(home, dag_folders, _free_port()) | variables
    subprocess.run([AIRFLOW, "db", "migrate"], env=environment, check=True, capture_output=True)
    processes = Processes(home, environment)
    try:
        for name in PARTS:
            processes.start(name)
        with httpx.Client(base_url=environment["AIRFLOW__API__BASE_URL"], timeout=30, trust_env=False) as client:
            until("Airflow is well", lambda: _healthy(client))
            client.headers["Authorization"] = f"Bearer {client.get('/auth/token').json()['access_token']}"
            airflow = RunningAirflow(client, environment, processes)
            until("all DAGs", lambda: airflow.call("GET", "/dags")["total_entries"] >= _dag_files(dag_folders))
            yield airflow
    finally:
        processes.stop("scheduler", "dag-processor", "api-server")


def _settings(home: Path, dag_folders: Mapping[str, Path], port: int) -> dict[str, str]:
    local = "airflow.dag_processing.bundles.local.LocalDagBundle"
    bundles = [{"name": n, "classpath": local, "kwargs": {"path": str(path)}} for n, path in dag_folders.items()]
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(home / "bundles"),
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
        "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
    }


def _dag_files(folders: Mapping[str, Path]) -> int:
    return sum(len(list(folder.glob("*.py"))) for folder in folders.values())


def _healthy(client: httpx.Client) -> bool:
    try:
        states = client.get("/api/v2/monitor/health").raise_for_status().json()
    except (httpx.HTTPError, ValueError):
        return False
    return all(states[part]["status"] == "healthy" for part in ("scheduler", "dag_processor"))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
