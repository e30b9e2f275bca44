"""The part of Airflow's REST API that running a DAG and looking at its outcome takes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx

from twinserve.errors import PermanentError, TransientError, TwinserveError
from twinserve_local.airflow_server import Airflow

FINISHED = {"success", "failed"}
PARSE_SECONDS = 60.0
PAUSE_SECONDS = 0.3
MOST_TASKS = 100


@dataclass(frozen=True)
class TaskState:
    """One task of a run: its state (None before it is scheduled), the try it is at, its seconds once it has run.

    Attributes:
        part: which instance of a task that is mapped over parts; -1: it is not.
    """

    task_id: str
    state: str | None
    attempt: int
    seconds: float | None
    part: int = -1


class AirflowApi:
    """Calls Airflow as the user that it was started with.

    Args:
        client: base URL and token of the server.

    Raises:
        TransientError: from every method: Airflow does not answer.
        PermanentError: from every method: it answers with an error.
    """

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def await_dag(self, dag_id: str) -> None:
        """Wait until the DAG file is parsed.

        Raises:
            PermanentError: a DAG file can't be imported, or there is none with this id.
        """
        deadline = time.monotonic() + PARSE_SECONDS
        while time.monotonic() < deadline:
            if errors := self._call("GET", "/importErrors")["import_errors"]:
                last = str(errors[0]["stack_trace"]).strip().splitlines()[-1]
                raise PermanentError(f"DAG file {errors[0]['filename']} can't be imported: {last}")
            if any(dag["dag_id"] == dag_id for dag in self._call("GET", "/dags")["dags"]):
                return
            time.sleep(PAUSE_SECONDS)
        raise PermanentError(f"Airflow found no DAG {dag_id} in {PARSE_SECONDS:.0f} s", fix="See /api/v2/dags")

    def pause(self, dag_id: str) -> None:
        """Let no run of a DAG begin."""
        self._call("PATCH", f"/dags/{dag_id}", json={"is_paused": True})

    @contextmanager
    def switched_on(self, dag_id: str) -> Iterator[None]:
        """Let runs of a DAG begin inside the block only."""
        self._call("PATCH", f"/dags/{dag_id}", json={"is_paused": False})
        try:
            yield
        except BaseException:
            with suppress(TwinserveError):  # Airflow may be what has failed
                self.pause(dag_id)
            raise
        self.pause(dag_id)

    def trigger(self, dag_id: str, run_id: str, params: dict[str, Any]) -> None:
        """Start a run."""
        body = {"dag_run_id": run_id, "logical_date": None, "conf": params}
        self._call("POST", f"/dags/{dag_id}/dagRuns", json=body)

    def has_run(self, dag_id: str, run_id: str) -> bool:
        """Whether there is a run of that id, over or not."""
        found = self._call("GET", f"/dags/{dag_id}/dagRuns", params={"run_id_pattern": run_id})
        return any(run["dag_run_id"] == run_id for run in found["dag_runs"])

    def last_run(self, dag_id: str) -> str:
        """Id of the run that was started last."""
        found = self._call("GET", f"/dags/{dag_id}/dagRuns", params={"order_by": "-run_after", "limit": 1})
        return str(found["dag_runs"][0]["dag_run_id"])

    def unfinished(self, dag_id: str) -> list[str]:
        """Ids of the runs that are queued or running."""
        found = self._call("GET", f"/dags/{dag_id}/dagRuns", params={"state": ["queued", "running"]})
        return [run["dag_run_id"] for run in found["dag_runs"]]

    def give_up(self, dag_id: str, run_id: str) -> None:
        """Mark a run as failed, which stops its tasks."""
        self._call("PATCH", f"/dags/{dag_id}/dagRuns/{run_id}", json={"state": "failed"})

    def await_run(self, dag_id: str, run_id: str, tell: Callable[[list[TaskState]], None]) -> str:
        """Wait for the end of a run; gives its state. `tell` gets the tasks' states each time it looks."""
        while True:
            state = str(self._call("GET", f"/dags/{dag_id}/dagRuns/{run_id}")["state"])
            tell(self.tasks(dag_id, run_id))
            if state in FINISHED:
                return state
            time.sleep(PAUSE_SECONDS)

    def tasks(self, dag_id: str, run_id: str) -> list[TaskState]:
        """The tasks of a run, in no particular order but that of the parts of one task."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        found = self._call("GET", path, params={"limit": MOST_TASKS})["task_instances"]
        found.sort(key=lambda task: task["map_index"])
        return [
            TaskState(t["task_id"], t["state"], max(t["try_number"], 1), t["duration"], t["map_index"]) for t in found
        ]

    def result(self, dag_id: str, run_id: str, task_id: str, part: int = -1) -> dict[str, Any]:
        """What the command of a task said, or of one part of a task that is mapped."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries"
        keys = {entry["key"] for entry in self._call("GET", path, params={"map_index": part})["xcom_entries"]}
        # a task with parts returns these, and keeps its result beside them
        entry = f"{path}/{'result' if 'result' in keys else 'return_value'}"
        value = self._call("GET", entry, params={"map_index": part})["value"]
        return dict(json.loads(value) if isinstance(value, str) else value)

    def results(self, dag_id: str, run_id: str) -> dict[str, dict[str, Any]]:
        """What the tasks of a finished run said, by task id; of a task with several parts, the one that published."""
        found: dict[str, dict[str, Any]] = {}
        for task in self.tasks(dag_id, run_id):
            said = self.result(dag_id, run_id, task.task_id, task.part)
            if task.task_id not in found or said.get("published"):
                found[task.task_id] = said
        return found

    def log_tail(self, dag_id: str, run_id: str, task: TaskState, lines: int) -> list[str]:
        """The last lines of the log of a task's last try."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task.task_id}/logs/{task.attempt}"
        content = self._call("GET", path, params={"full_content": True, "map_index": task.part})["content"]
        events = (e["event"] if isinstance(e, dict) else str(e) for e in content)
        said = (line for event in events for line in event.splitlines() if line and not line.startswith("::"))
        return list(said)[-lines:]

    def _call(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        answer = _send(self._client, method, f"/api/v2{path}", **more)
        return dict(answer.json())


@contextmanager
def airflow_api(airflow: Airflow) -> Iterator[AirflowApi]:
    """Log in and talk to a running Airflow."""
    login = {"username": airflow.user, "password": airflow.password}
    with httpx.Client(base_url=airflow.url, timeout=30, trust_env=False) as client:
        token = _send(client, "POST", "/auth/token", json=login).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield AirflowApi(client)


def _send(client: httpx.Client, method: str, path: str, **more: Any) -> httpx.Response:
    headers = {"Accept": "application/json"}
    try:
        answer = client.request(method, path, headers=headers, **more)
    except httpx.HTTPError as error:
        raise TransientError(f"Airflow does not answer {method} {path}: {error}") from None
    if answer.is_error:
        raise PermanentError(f"Airflow answers {method} {path} with {answer.status_code}: {answer.text[:500]}")
    return answer
