"""The four DAGs as Airflow reads them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from local_command import LocalCommand

ROOT = Path(__file__).parents[2]
DAG_FILES = sorted(file for file in ROOT.glob("*/dags/*.py") if file.parts[-3] != "tests")
TASKS = {
    "db_to_offline_store": ["ingest_task", "clean_task", "explore_and_validate_task"],
    "materialize_offline_to_online": ["materialize_task"],
    "training_pipeline": [
        "feature_store_init_task", "data_extraction_task", "data_validation_task", "data_preparation_task",
        "model_training_task", "model_evaluation_task", "model_validation_task",
    ],
    "batch_serving_pipeline": ["feature_store_init_task", "data_extraction_task", "batch_prediction_task"],
}  # fmt: skip
PARAMS = {
    "db_to_offline_store": {"source", "view"},
    "materialize_offline_to_online": {"lookback_hours"},
    "training_pipeline": {"labels"},
    "batch_serving_pipeline": {"input_path", "run_key"},
}


@pytest.fixture(scope="module")
def dags() -> dict[str, DAG]:
    """All DAGs of the three pipelines, by id."""
    found: dict[str, DAG] = {}
    for folder in {file.parent for file in DAG_FILES}:
        bag = DagBag(folder, bundle_name=folder.parent.name)
        assert bag.import_errors == {}
        found |= bag.dags
    return found


def test_the_dags_are_these(dags: dict[str, DAG]) -> None:
    assert set(dags) == set(TASKS)


@pytest.mark.parametrize("dag_id", TASKS)
def test_tasks_run_one_after_the_other(dags: dict[str, DAG], dag_id: str) -> None:
    dag, names = dags[dag_id], TASKS[dag_id]
    follows = {task.task_id: task.downstream_task_ids for task in dag.tasks}
    assert follows == {name: set(names[i + 1 : i + 2]) for i, name in enumerate(names)}


@pytest.mark.parametrize("dag_id", TASKS)
def test_a_dag_explains_itself(dags: dict[str, DAG], dag_id: str) -> None:
    dag = dags[dag_id]
    assert dag.doc_md
    assert dag.doc_md.strip().startswith("###")
    assert dag.tags
    assert {task.owner for task in dag.tasks} == {Path(dag.fileloc).parents[1].name}


@pytest.mark.parametrize("dag_id", TASKS)
def test_a_dag_runs_on_demand_and_once_at_a_time(dags: dict[str, DAG], dag_id: str) -> None:
    dag = dags[dag_id]
    assert dag.schedule is None
    assert (dag.catchup, dag.max_active_runs) == (False, 1)
    assert all(task.execution_timeout and task.retries for task in dag.tasks)


@pytest.mark.parametrize("dag_id", PARAMS)
def test_parameters_are_typed_described_and_optional(dags: dict[str, DAG], dag_id: str) -> None:
    params = dags[dag_id].params
    assert set(params) == PARAMS[dag_id]
    for name in params:
        param = params.get_param(name)
        assert param.description
        assert param.resolve() is None


@pytest.mark.parametrize(("value", "reason"), [(-1, "less than the minimum"), ("two", "not of type")])
def test_a_look_back_is_a_number_from_zero(dags: dict[str, DAG], value: object, reason: str) -> None:
    param = dags["materialize_offline_to_online"].params.get_param("lookback_hours")
    with pytest.raises(ValueError, match=reason):
        param.resolve(value)


@pytest.mark.parametrize("file", DAG_FILES, ids=lambda file: file.stem)
def test_a_dag_file_imports_airflow_and_pipeline_task_only(file: Path) -> None:
    imports = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = {node.module if isinstance(node, ast.ImportFrom) else node.names[0].name for node in imports}
    assert modules <= {"airflow.sdk", "pipeline_task", "datetime"}


def test_every_pipeline_command_has_its_run_key(dags: dict[str, DAG]) -> None:
    tasks = [task for dag in dags.values() for task in dag.tasks if isinstance(task, LocalCommand)]
    without = {task.task_id for task in tasks if "run_id" not in task.options.get("--run-key", "")}
    assert len(tasks) == sum(map(len, TASKS.values()))
    assert without == {"materialize_task"}
