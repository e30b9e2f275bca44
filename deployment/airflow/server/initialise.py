"""Bring Airflow's database up to date, make its first login, install the DAGs; run before every start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import install_dags

USER = "admin"


def main() -> None:
    """Do it all; each step finds out by itself whether it has been done."""
    subprocess.run(["airflow", "db", "migrate"], check=True)
    set_admin_password(os.environ["AIRFLOW_ADMIN_PASSWORD"])
    for folder in ("data_pipeline", "training_pipeline", "model_serving"):
        Path("/opt/airflow/dags", folder).mkdir(exist_ok=True)
    install_dags.note_airflow()
    install_dags.main([])


def set_admin_password(password: str) -> None:
    """Make the administrator, or give it this password: not by Airflow's command line, where others could read it."""
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

    with get_application_builder() as builder:
        manager = builder.sm
        user = manager.find_user(username=USER)
        if user is None:
            role = manager.find_role("Admin")
            manager.add_user(USER, "Twinserve", "Admin", f"{USER}@localhost.localdomain", role, password=password)
        else:
            manager.reset_password(user.id, password)
    sys.stdout.write(f"login: {USER}\n")


if __name__ == "__main__":
    main()
