"""A DAG with one task, the command `tool go`, run to its end by a real Airflow."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from uuid import uuid4

from airflow.dag_processing.dagbag import DagBag

DAG_FILE = """
from datetime import timedelta
from airflow.sdk import DAG
from pipeline_task import pipeline_task

with DAG({dag_id!r}, schedule=None, params={{"value": None}}):
    pipeline_task("task", ["tool", "go"], {options!r}, retry_delay=timedelta(0), {settings})
"""


def run(options: dict[str, str], conf: dict[str, Any] | None = None, **settings: str) -> Any:
    """Run a DAG with one task, the command `tool go`; gives the task's instance.

    Args:
        options: of the command.
        conf: the run's parameters.
        settings: more arguments of `pipeline_task`, as source code.
    """
    dag_id = f"dag_{uuid4().hex}"
    file = Path(os.environ["AIRFLOW_HOME"]) / "dags" / f"{dag_id}.py"
    file.parent.mkdir(exist_ok=True)
    arguments = ", ".join(f"{name}={value}" for name, value in settings.items())
    file.write_text(DAG_FILE.format(dag_id=dag_id, options=options, settings=arguments))
    bag = DagBag(file, bundle_name="dags-folder")
    assert bag.import_errors == {}
    finished = bag.dags[dag_id].test(run_conf=conf)
    file.unlink()
    return finished.get_task_instance("task")


def result(instance: Any) -> Any:
    return instance.xcom_pull(task_ids="task")
