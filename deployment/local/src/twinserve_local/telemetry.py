"""The environment of every process that the local platform starts."""

from __future__ import annotations

from pathlib import Path

from twinserve.command.containment import containing_environment


def contained_environment(home: Path) -> dict[str, str]:
    """Variables for each process that we start, Airflow's among them: it writes below `home`, reports to nobody."""
    airflow = {"AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False", "PYTHONDONTWRITEBYTECODE": "1"}
    return containing_environment(home) | airflow
