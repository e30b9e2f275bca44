"""Airflow's configuration: one port, nothing outside its home."""

from __future__ import annotations

import json
from pathlib import Path

from twinserve_local.airflow_settings import airflow_environment
from twinserve_local.checkout import Checkout
from twinserve_local.telemetry import contained_environment

HOME = Path("/data/airflow")
CHECKOUT = Checkout(root=Path("/code"), venv=Path("/code/.venv"))


def test_it_listens_on_this_machine_only() -> None:
    seen = airflow_environment(HOME, CHECKOUT, 8123)
    assert (seen["AIRFLOW__API__HOST"], seen["AIRFLOW__API__PORT"]) == ("127.0.0.1", "8123")
    assert seen["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:8123/execution/"


def test_dags_wait_until_they_are_switched_on_and_the_demo_runs_them_itself() -> None:
    name = "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE"
    by_default, told = (airflow_environment(HOME, CHECKOUT, 1, scheduled=scheduled) for scheduled in (True, False))
    assert by_default["AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION"] == "True"
    assert (by_default[name], told[name]) == ("True", "False")


def test_a_bundle_for_the_dags_of_each_pipeline() -> None:
    bundles = json.loads(airflow_environment(HOME, CHECKOUT, 1)["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"])
    assert {bundle["name"]: bundle["kwargs"]["path"] for bundle in bundles} == {
        "data_pipeline": "/code/data_pipeline/dags",
        "training_pipeline": "/code/training_pipeline/dags",
        "model_serving": "/code/model_serving/dags",
    }


def test_it_keeps_its_files_in_its_home() -> None:
    seen = airflow_environment(HOME, CHECKOUT, 1)
    paths = {value for value in seen.values() if value.startswith("/") and not value.startswith("/code")}
    assert paths
    assert all(path.startswith(str(HOME)) for path in paths)
    assert seen["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == "sqlite:////data/airflow/airflow.db"


def test_caches_and_temporary_files_of_other_programs_are_inside() -> None:
    seen = contained_environment(Path("/data"))
    assert all(value.startswith("/data/") for value in seen.values() if value.startswith("/"))
    assert {"TMPDIR", "XDG_CACHE_HOME", "MPLCONFIGDIR", "BENTOML_HOME"} <= set(seen)
