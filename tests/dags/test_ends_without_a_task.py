"""Runs that no task can report the end of: Airflow's DAG processor does, in an environment of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from alert_receiver import AlertReceiver, alert_receiver
from running_airflow import RunningAirflow, running_airflow
from waiting import until

DAG_FILE = """
from datetime import timedelta
from airflow.sdk import DAG
from failure_notice import run_timed_out
from pipeline_task import pipeline_task

for dag_id, limit in ("takes_too_long", 5), ("loses_its_worker", 600):
    with DAG(dag_id, schedule=None, dagrun_timeout=timedelta(seconds=limit), on_failure_callback=run_timed_out):
        pipeline_task("task", ["tool", dag_id], retries=0)
"""
# notes the process of Airflow's that runs it
COMMAND = "#!/bin/sh\necho $PPID > {folder}/$1\nexec sleep 600\n"


@pytest.fixture(scope="module")
def receiver() -> Iterator[AlertReceiver]:
    with alert_receiver() as server:
        yield server


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The DAGs, the command that they run, and what it notes."""
    made = tmp_path_factory.mktemp("slow")
    for name in ("dags", "bin"):
        (made / name).mkdir()
    (made / "dags" / "slow.py").write_text(DAG_FILE)
    tool = made / "bin" / "tool"
    tool.write_text(COMMAND.format(folder=made))
    tool.chmod(0o755)
    return made


@pytest.fixture(scope="module")
def airflow(
    folder: Path, receiver: AlertReceiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningAirflow]:
    variables = {
        "TWINSERVE_VENV": str(folder),
        "TWINSERVE_TASK_RUNTIME": "local",
        "TWINSERVE_ALERTMANAGER_URL": receiver.url,
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "2",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "12",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    }
    with running_airflow(tmp_path_factory.mktemp("airflow"), {"slow": folder / "dags"}, **variables) as made:
        until("both DAGs", lambda: made.call("GET", "/dags")["total_entries"] == 2)
        for dag_id in ("takes_too_long", "loses_its_worker"):
            made.pause(dag_id, paused=False)
        yield made


def about(receiver: AlertReceiver, dag_id: str, said: str) -> list[dict[str, Any]]:
    """The alerts of a DAG that say this."""
    alerts = [alert for alert in receiver.alerts if alert["labels"]["dag_id"] == dag_id]
    return [alert for alert in alerts if said in alert["annotations"].get("summary", "")]


def test_a_run_that_took_too_long_is_an_alert(airflow: RunningAirflow, receiver: AlertReceiver) -> None:
    assert airflow.trigger("takes_too_long") == "failed"
    # its task is then stopped, and reports that for its part
    alert = until("the alert", lambda: about(receiver, "takes_too_long", "longer than the time limit of its DAG"))[0]
    assert alert["labels"]["task_id"] == "task"


def test_a_task_whose_worker_is_gone_is_an_alert(
    airflow: RunningAirflow, receiver: AlertReceiver, folder: Path
) -> None:
    run = airflow.call("POST", "/dags/loses_its_worker/dagRuns", json={"logical_date": None})["dag_run_id"]
    note = folder / "loses_its_worker"
    until("the command", lambda: note.exists() and note.read_text().endswith("\n"))
    runner = psutil.Process(int(note.read_text()))
    for process in (runner.parent(), *runner.children(recursive=True), runner):
        assert process
        os.kill(process.pid, signal.SIGKILL)
    until("the run's end", lambda: airflow.states("loses_its_worker")[run] == "failed")
    # nobody else could post it; Airflow may ask for it more than once
    alert = until("the alert", lambda: about(receiver, "loses_its_worker", ""))[0]
    assert alert["labels"]["task_id"] == "task"
    assert alert["annotations"]["run"] == run
