"""The same stages in both runtimes: as DAGs in containers, and as commands on a laptop."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from docker_platform import DockerPlatform
from waiting import until

from twinserve_local.airflow_api import AirflowApi

KEEP = "KEEP_PLATFORM"  # set to 1, the platform stays up after the tests, and is used again by the next ones
Results = dict[str, dict[str, dict[str, Any]]]
TASKS = {
    "db_to_offline_store": ("ingest_task", "clean_task", "explore_and_validate_task"),
    "materialize_offline_to_online": ("materialize_task",),
    "training_pipeline": (
        "feature_store_init_task", "data_extraction_task", "data_validation_task", "data_preparation_task",
        "model_training_task", "model_evaluation_task", "model_validation_task",
    ),
    "batch_serving_pipeline": ("feature_store_init_task", "data_extraction_task", "batch_prediction_task"),
}  # fmt: skip


@dataclass(frozen=True)
class Both:
    """What the same stages came to.

    Attributes:
        docker: what each task returned, by DAG and task.
        laptop: what the last command of each DAG printed.
    """

    docker: Results
    laptop: dict[str, dict[str, Any]]


def run_dag(api: AirflowApi, dag_id: str, run_id: str, conf: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Run a DAG that is otherwise paused; gives what its tasks returned."""
    api.await_dag(dag_id)
    with api.switched_on(dag_id):
        if not (os.environ.get(KEEP) and api.has_run(dag_id, run_id)):
            api.trigger(dag_id, run_id, conf)
        state = api.await_run(dag_id, run_id, lambda _: None)
    failed = [task for task in api.tasks(dag_id, run_id) if task.state == "failed"]
    assert state == "success", [(task, api.log_tail(dag_id, run_id, task, 30)) for task in failed]
    return api.results(dag_id, run_id)


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by its path in it."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def await_ready(stack: DockerPlatform) -> None:
    """The service tries again for its model at growing intervals, of half a minute at most."""

    def ready() -> bool:
        return httpx.get(f"{stack.online}/readyz", timeout=5, trust_env=False).is_success

    until("the online service is ready", ready, seconds=60)
