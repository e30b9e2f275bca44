"""Airflow's configuration for one machine, as environment variables."""

from __future__ import annotations

import json
from pathlib import Path

from twinserve_local.checkout import Checkout

USER = "admin"


def airflow_environment(home: Path, checkout: Checkout, port: int, *, scheduled: bool = True) -> dict[str, str]:
    """All that Airflow must know: SQLite, local executor, one login, our DAG folders, one port on 127.0.0.1.

    Args:
        home: AIRFLOW_HOME.
        checkout: where DAGs and plug-ins are.
        port: of the API server and its pages.
        scheduled: whether DAGs that are switched on run by their schedules, or only when they are told to.
    """
    sections = {
        "core": _core(home, checkout, port),
        "database": {"sql_alchemy_conn": f"sqlite:///{home / 'airflow.db'}"},
        "logging": {"base_log_folder": str(home / "logs"), "logging_level": "INFO"},
        "api": {"host": "127.0.0.1", "port": str(port), "base_url": f"http://127.0.0.1:{port}", "workers": "1"},
        "dag_processor": _dag_processor(home, checkout),
        "scheduler": _scheduler(scheduled=scheduled),
    }
    variables = {
        f"AIRFLOW__{section.upper()}__{key.upper()}": value
        for section, keys in sections.items()
        for key, value in keys.items()
    }
    return {"AIRFLOW_HOME": str(home), "TWINSERVE_VENV": str(checkout.venv), **variables}


def _core(home: Path, checkout: Checkout, port: int) -> dict[str, str]:
    return {
        "load_examples": "False",
        "executor": "LocalExecutor",
        "parallelism": "4",
        "dags_folder": str(home / "dags"),  # not used, but Airflow expects one
        "plugins_folder": str(checkout.plugins),
        "dags_are_paused_at_creation": "True",
        "auth_manager": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
        "simple_auth_manager_users": f"{USER}:admin",
        "simple_auth_manager_passwords_file": str(password_file(home)),
        "execution_api_server_url": f"http://127.0.0.1:{port}/execution/",
    }


def _dag_processor(home: Path, checkout: Checkout) -> dict[str, str]:
    bundles = [
        {
            "name": name,
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": str(folder)},
        }
        for name, folder in checkout.dag_folders.items()
    ]
    return {
        "dag_bundle_config_list": json.dumps(bundles),
        "dag_bundle_storage_path": str(home / "bundles"),  # Airflow would take the system's folder of temporary files
        "refresh_interval": "10",
        "min_file_process_interval": "30",
        "bundle_refresh_check_interval": "1",
        "print_stats_interval": "0",
    }


def _scheduler(*, scheduled: bool) -> dict[str, str]:
    # a task ends, and the next one waits for the scheduler's next turn: 14 tasks feel every second of it
    return {
        "scheduler_idle_sleep_time": "0.2",
        "scheduler_heartbeat_sec": "2",
        "enable_health_check": "False",
        "use_job_schedule": str(scheduled),
    }


def password_file(home: Path) -> Path:
    """Where the login's password is kept, as Airflow's simple auth manager reads it."""
    return home / "passwords.json"
