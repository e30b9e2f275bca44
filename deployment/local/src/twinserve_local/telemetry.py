"""Environment variables that keep other people's programs from reporting home and from writing outside our folder."""

from __future__ import annotations

from pathlib import Path

TELEMETRY_OFF = {
    "DO_NOT_TRACK": "1",
    "BENTOML_DO_NOT_TRACK": "True",
    "FEAST_USAGE": "False",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "SCARF_ANALYTICS": "false",
    "SCARF_NO_ANALYTICS": "true",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
}


def contained_environment(home: Path) -> dict[str, str]:
    """Variables for every process that we start: no telemetry; caches, configuration and scratch files under `home`.

    Temporary files go to `home/tmp`, which must exist.
    """
    folders = {
        "BENTOML_HOME": "bentoml",
        "MPLCONFIGDIR": "cache/matplotlib",
        "XDG_CACHE_HOME": "cache",
        "XDG_CONFIG_HOME": "config",
        "XDG_DATA_HOME": "data",
        "XDG_STATE_HOME": "state",
        "TMPDIR": "tmp",
    }
    inside = {name: str(home / folder) for name, folder in folders.items()}
    return {**TELEMETRY_OFF, **inside, "PYTHONDONTWRITEBYTECODE": "1"}
