"""A home that was moved, or copied: what was trained there serves here, and is trained anew, with no step back there.

The commands are the real ones over the embedded stores. `make test-kills` runs these.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from killable_steps import Steps
from pipeline_steps import APPLY, SCRIPTS, Step, batch_steps, change_source, data_steps, generate, training_steps
from platform_under_test import Platform
from worked_home import environment

from twinserve.registry import Registry
from twinserve.settings import load_settings

pytestmark = [pytest.mark.integration, pytest.mark.kills]
CANDIDATES = [1001, 1002, 1007]
YESTERDAY = f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}"  # its features are fresh, an hour later too


@dataclass
class LivedIn:
    """A home with a champion and predictions, and what runs commands."""

    home: Path
    steps: Steps


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivedIn]:
    folder = tmp_path_factory.mktemp("moved")
    here = folder / "hére it was"
    steps = Steps(folder / "steps", SCRIPTS, **environment(folder, here, redis_url=""))
    try:
        for step in (generate(YESTERDAY), APPLY, *data_steps("first"), *training_steps("first"), *batch_steps("first")):
            run(steps, step, here)
        yield LivedIn(here, steps)
    finally:
        steps.close()


@pytest.mark.parametrize("how", ["copied", "moved"])  # in this order: the original has to be there for both
def test_a_home_goes_on_elsewhere(lived_in: LivedIn, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there, steps = lived_in.home, tmp_path / "thëre it is", lived_in.steps
    for name in [name for name in os.environ if name.startswith("TWINSERVE_")]:
        monkeypatch.delenv(name)
    (shutil.copytree if how == "copied" else shutil.move)(here, there)
    original = digests(here)

    assert ranked(there)["model"]["version"] == "1"
    for step in batch_steps("second"):
        scored = run(steps, step, there)
    assert scored["model_version"] == "1"
    assert predictions(there, "second") == predictions(there, "first") != []

    change_source(there)
    for step in (*data_steps("second"), *training_steps("second")):
        trained = run(steps, step, there)
    assert (trained["version"], trained["promoted"]) == ("2", True)
    assert ranked(there)["model"]["version"] == "2"

    registry = Registry(load_settings(home=there))
    assert [registry.load_version(version).version for version in ("1", "2")] == ["1", "2"]
    places = places_in_mlflow(there)
    assert places
    assert [place for place in places if not place.startswith(there.as_uri())] == []
    assert digests(here) == original


def run(steps: Steps, step: Step, home: Path) -> dict[str, object]:
    steps.begin(step.script, *step.words(), environment={"TWINSERVE_HOME": str(home)})
    said = steps.end()
    assert said.code == 0, f"{step.name}: {said.text[-3000:]}"
    return said.result


def ranked(home: Path) -> dict[str, Any]:
    """The answer of the online service of `home`."""
    platform = Platform(home, TWINSERVE_TRAINING_PARAMS=str(home.parent / "params.yaml"))
    with platform.serving() as client:
        answer = client.post("/inference", json={"request_id": "moved", "driver_ids": CANDIDATES})
    assert answer.status_code == httpx.codes.OK, answer.text
    found: dict[str, Any] = answer.json()
    assert found["prediction"] in CANDIDATES, found
    return found


def predictions(home: Path, key: str) -> list[object]:
    import pyarrow.parquet as pq

    return list(pq.read_table(home / "predictions" / key)["prediction"].to_pylist())


def digests(home: Path) -> dict[str, str]:
    """Of every file; of none where there is no such folder."""
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in home.rglob("*") if file.is_file()}


def places_in_mlflow(home: Path) -> list[str]:
    """Where experiments, runs, models and versions have their files."""
    queries = (
        "SELECT artifact_location FROM experiments WHERE name = 'driver_ranking'",
        "SELECT artifact_uri FROM runs",
        "SELECT artifact_location FROM logged_models",
        "SELECT storage_location FROM model_versions WHERE storage_location IS NOT NULL",
    )
    with closing(sqlite3.connect(home / "mlflow" / "mlflow.db")) as database:
        return [place for query in queries for (place,) in database.execute(query)]
