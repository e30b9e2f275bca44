"""One DAG, from the start of a run to what its tasks returned."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from twinserve.errors import PermanentError
from twinserve_local.airflow_api import AirflowApi, TaskState

LOG_LINES = 20
Results = dict[str, dict[str, Any]]


def run_dag(api: AirflowApi, dag_id: str, check: Callable[[], None], tell: Callable[[str], None]) -> Results:
    """Run a DAG, switched on for this run alone, and wait for its end.

    Args:
        api: of a running Airflow.
        dag_id: the DAG.
        check: called now and then; raises if Airflow itself is in trouble.
        tell: takes a line for each task that ended, and the tail of the log of one that failed.

    Returns:
        What each task returned, by task id.

    Raises:
        PermanentError: a task failed; the message names it.
    """
    for left in api.unfinished(dag_id):  # by an earlier demo that was interrupted: it would run first
        api.give_up(dag_id, left)
    run_id = f"demo-{time.time_ns() // 1_000_000}"
    with api.switched_on(dag_id):
        api.trigger(dag_id, run_id, {})
        state = api.await_run(dag_id, run_id, _Watch(check, tell))
    if state != "success":
        raise _failure(api, dag_id, run_id, tell)
    return api.results(dag_id, run_id)


class _Watch:
    """Tells of each task once, when it ends or waits for another try."""

    def __init__(self, check: Callable[[], None], tell: Callable[[str], None]) -> None:
        self._check, self._tell = check, tell
        self._told: set[tuple[str, int, str | None, int]] = set()

    def __call__(self, tasks: list[TaskState]) -> None:
        self._check()
        for task in tasks:
            key = (task.task_id, task.part, task.state, task.attempt)
            if task.state in {"success", "failed", "up_for_retry"} and key not in self._told:
                self._told.add(key)
                self._tell(f"  {task.task_id:28} {task.state:8} {task.seconds or 0:6.1f} s")


def _failure(api: AirflowApi, dag_id: str, run_id: str, tell: Callable[[str], None]) -> PermanentError:
    failed = [task for task in api.tasks(dag_id, run_id) if task.state == "failed"]
    if not failed:
        return PermanentError(f"run {run_id} of {dag_id} failed without a failed task", fix="Was it stopped by hand?")
    tell(f"The last lines of {failed[0].task_id}:")
    for line in api.log_tail(dag_id, run_id, failed[0], LOG_LINES):
        tell(f"  | {line}")
    return PermanentError(f"{failed[0].task_id} of {dag_id} failed, run {run_id}", fix="Its last lines are above")
