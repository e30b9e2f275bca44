"""The four DAGs as Airflow reads them."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG, AssetAlias
from airflow.sdk.definitions.mappedoperator import MappedOperator
from airflow.serialization.serialized_objects import DagSerialization
from local_command import LocalCommand

from failure_notice import RUNBOOK
from feature_assets import OFFLINE_FEATURES, ONLINE_FEATURES

ROOT = Path(__file__).parents[2]
PLUGINS = ROOT / "deployment" / "airflow" / "plugins"
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
    "batch_serving_pipeline": {"input_path", "run_key", "as_of"},
}
STARTED_BY_UPDATES = {"materialize_offline_to_online", "training_pipeline", "batch_serving_pipeline"}
UPDATES = {"explore_and_validate_task": OFFLINE_FEATURES, "materialize_task": ONLINE_FEATURES}
PARSER = Path(__file__).parent / "support" / "parse_dag_file.py"


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


def test_what_is_mapped_is_well_only_when_the_run_is(dags: dict[str, DAG]) -> None:
    mapped = {dag_id: [task for task in dag.tasks if task.is_mapped] for dag_id, dag in dags.items()}
    assert {dag_id: [task.task_id for task in tasks] for dag_id, tasks in mapped.items() if tasks} == {
        "batch_serving_pipeline": ["batch_prediction_task"]
    }
    for dag_id, tasks in mapped.items():
        assert not any(task.on_success_callback for task in tasks)
        assert bool(dags[dag_id].on_success_callback) == bool(tasks)


@pytest.mark.parametrize("dag_id", TASKS)
def test_a_dag_explains_itself(dags: dict[str, DAG], dag_id: str) -> None:
    dag = dags[dag_id]
    assert dag.doc_md
    assert dag.doc_md.strip().startswith("###")
    assert dag.tags
    assert {task.owner for task in dag.tasks} == {Path(dag.fileloc).parents[1].name}


@pytest.mark.parametrize("dag_id", TASKS)
def test_a_dag_runs_once_at_a_time_and_not_for_ever(dags: dict[str, DAG], dag_id: str) -> None:
    dag = dags[dag_id]
    assert (dag.catchup, dag.max_active_runs) == (False, 1)
    assert all(task.execution_timeout and task.retries for task in dag.tasks)
    limit = dag.dagrun_timeout
    assert limit
    assert all(task.execution_timeout and task.execution_timeout < limit for task in dag.tasks)


@pytest.mark.parametrize("dag_id", TASKS)
def test_a_dag_tells_when_it_runs_and_where_to_look_when_it_fails(dags: dict[str, DAG], dag_id: str) -> None:
    text = dags[dag_id].doc_md or ""
    assert "**When:**" in text
    assert f"`{RUNBOOK}`" in text
    assert (ROOT / RUNBOOK).is_file()


def scheduled(dag: DAG) -> Any:
    """The DAG's timetable as the scheduler gets it."""
    return DagSerialization.from_dict(DagSerialization.to_dict(dag)).timetable


def test_ingest_runs_daily_and_the_rest_when_features_were_updated(dags: dict[str, DAG]) -> None:
    daily = scheduled(dags["db_to_offline_store"])
    assert daily.summary == "0 0 * * *"
    waiting = {
        dag_id: [asset.uri for _, asset in scheduled(dag).asset_condition.iter_assets()]
        for dag_id, dag in dags.items()
        if dag_id != "db_to_offline_store"
    }
    assert waiting == {dag_id: [OFFLINE_FEATURES.uri] for dag_id in STARTED_BY_UPDATES}


@pytest.mark.parametrize("dag_id", ["db_to_offline_store", "batch_serving_pipeline"])
def test_what_can_be_backfilled_has_one_interval_a_date(dags: dict[str, DAG], dag_id: str) -> None:
    dag = DagSerialization.from_dict(DagSerialization.to_dict(dags[dag_id]))
    assert dag.timetable.periodic
    dates = [datetime(2026, 1, day, tzinfo=UTC) for day in (5, 6, 7, 8)]
    found = [info.data_interval for info in dag.iter_dagrun_infos_between(dates[0], dates[2])]
    assert [(interval.start, interval.end) for interval in found if interval] == list(pairwise(dates))
    # max_active_runs does not bind the runs of a backfill
    assert {task.max_active_tis_per_dag for task in dag.tasks if not task.is_mapped} == {1}
    # parts of one batch are scored at once
    assert {task.max_active_tis_per_dag for task in dag.tasks if task.is_mapped} <= {2}


def test_the_clock_starts_no_batch(dags: dict[str, DAG]) -> None:
    dag = DagSerialization.from_dict(DagSerialization.to_dict(dags["batch_serving_pipeline"]))
    assert dag.next_dagrun_info(last_automated_run_info=None) is None
    assert "backfill by date" in dag.timetable.summary


def test_two_tasks_update_an_asset_and_only_by_an_alias(dags: dict[str, DAG]) -> None:
    outlets = {task.task_id: task.outlets for dag in dags.values() for task in dag.tasks if task.outlets}
    assert outlets == {task: [AssetAlias(f"{asset.name}_updates")] for task, asset in UPDATES.items()}


def test_the_assets_are_these() -> None:
    assets = {asset.name: asset.uri for asset in (OFFLINE_FEATURES, ONLINE_FEATURES)}
    assert assets == {
        "offline_features": "twinserve://features/offline",
        "online_features": "twinserve://features/online",
    }


@pytest.mark.parametrize("runtime", ["local", "docker"])
@pytest.mark.parametrize("file", DAG_FILES, ids=lambda file: file.stem)
def test_a_dag_file_is_read_in_under_a_second_and_reaches_no_service(file: Path, runtime: str) -> None:
    environment = os.environ | {"TWINSERVE_TASK_RUNTIME": runtime}
    words = [sys.executable, str(PARSER), str(PLUGINS), str(file)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["docker"] == (runtime == "docker")
    assert told["seconds"] < 1


@pytest.mark.parametrize("dag_id", PARAMS)
def test_parameters_are_typed_described_and_optional(dags: dict[str, DAG], dag_id: str) -> None:
    params = dags[dag_id].params
    assert set(params) == PARAMS[dag_id]
    for name in params:
        param = params.get_param(name)
        assert param.description
        assert param.schema["type"]
        assert param.schema["title"]
        assert param.resolve() is None


@pytest.mark.parametrize(("value", "reason"), [(-1, "less than the minimum"), ("two", "not of type")])
def test_a_look_back_is_a_number_from_zero(dags: dict[str, DAG], value: object, reason: str) -> None:
    param = dags["materialize_offline_to_online"].params.get_param("lookback_hours")
    with pytest.raises(ValueError, match=reason):
        param.resolve(value)


@pytest.mark.parametrize("file", DAG_FILES, ids=lambda file: file.stem)
def test_a_dag_file_imports_airflow_and_plug_ins_only(file: Path) -> None:
    imports = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = {node.module if isinstance(node, ast.ImportFrom) else node.names[0].name for node in imports}
    plug_ins = {"pipeline_task", "feature_assets", "failure_notice", "backfill_dates"}
    assert modules <= {"airflow.sdk", "datetime", *plug_ins}


def test_every_pipeline_command_has_its_run_key(dags: dict[str, DAG]) -> None:
    single = [task for dag in dags.values() for task in dag.tasks if isinstance(task, LocalCommand)]
    mapped = [task for dag in dags.values() for task in dag.tasks if isinstance(task, MappedOperator)]
    assert all(task.on_failure_callback and task.on_success_callback for task in single)
    assert all(task.on_failure_callback for task in mapped)
    options = {task.task_id: task.options for task in single}
    options |= {task.task_id: task.partial_kwargs["options"] for task in mapped}
    without = {name for name, given in options.items() if "run_id" not in given.get("--run-key", "")}
    assert len(single) + len(mapped) == sum(map(len, TASKS.values()))
    assert without == {"materialize_task"}
