"""A real Airflow, in a home of its own, with stand-ins for the pipelines' console scripts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DAG_FOLDERS = [ROOT / name / "dags" for name in ("data_pipeline", "training_pipeline", "model_serving")]
Script = Callable[[str, str], None]
HOME = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Airflow reads its settings when it is imported: they must be there before the first test module is."""
    home = config.stash[HOME] = tempfile.mkdtemp(prefix="airflow-")
    os.environ |= {
        "AIRFLOW_HOME": home,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "deployment" / "airflow" / "plugins"),
        "AIRFLOW__CORE__DAGS_FOLDER": f"{home}/dags",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": f"{home}/bundles",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    airflow = str(Path(sys.executable).with_name("airflow"))
    subprocess.run([airflow, "db", "migrate"], check=True, capture_output=True)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove Airflow's home."""
    shutil.rmtree(config.stash[HOME], ignore_errors=True)


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    """Writes a console script (name, shell lines) into the virtual environment that tasks use."""
    folder = tmp_path / "venv" / "bin"
    folder.mkdir(parents=True)
    monkeypatch.setenv("TWINSERVE_VENV", str(folder.parent))

    def write(name: str, lines: str) -> None:
        file = folder / name
        file.write_text(f"#!/bin/sh\n{lines}\n")
        file.chmod(0o755)

    return write
