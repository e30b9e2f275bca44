"""`.env.example` names every setting with its default, and nothing else."""

from __future__ import annotations

from pathlib import Path

from twinserve.settings import ELSEWHERE, PREFIX, Settings

ROOT = Path(__file__).parents[1]
READ_BY_THE_PLUGIN = {
    "TASK_RUNTIME": "local",
    "TASK_RETRY_SECONDS": "30",
    "TASK_PARTS_AT_ONCE": "2",
    "TASK_IMAGES": "local/twinserve",
    "TASK_RELEASES": "/opt/airflow/dags",
    "TASK_VOLUME": "twinserve_data",
    "TASK_NETWORK": "twinserve_backend",
    "TASK_MEMORY": "2g",
    "TASK_CPUS": "1.0",
    "ALERTMANAGER_URL": "",
    "VENV": "",
}


def listed() -> dict[str, str]:
    """The variables of the file, by name without prefix."""
    lines = (line.removeprefix("#") for line in (ROOT / ".env.example").read_text().splitlines())
    pairs = (line.split("=", 1) for line in lines if line.startswith(PREFIX))
    return {name.removeprefix(PREFIX): value for name, value in pairs}


def test_every_setting_is_listed_with_its_default() -> None:
    defaults = {name.upper(): field.default for name, field in Settings.model_fields.items()}
    expected = {name: "" if value is None else str(value) for name, value in defaults.items()}
    assert listed() == expected | READ_BY_THE_PLUGIN


def test_what_others_read_is_listed() -> None:
    assert set(READ_BY_THE_PLUGIN) == ELSEWHERE


def test_the_file_is_only_comments_until_somebody_edits_it() -> None:
    assert all(line.startswith("#") or not line for line in (ROOT / ".env.example").read_text().splitlines())
