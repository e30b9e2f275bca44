"""Steps of one run key that are started at once: one is at work, the others are told, and nothing is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.dataset as ds
import pytest

from data_pipeline.run_folder import STEPS, ViewRun
from twinserve.errors import ExitCode
from twinserve.settings import load_settings

pytestmark = pytest.mark.integration
REPO = Path(__file__).parents[1] / "feature_repo"
ROWS = 300_000


@pytest.fixture
def begin(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts a command as a process."""
    environment = os.environ | {"TWINSERVE_HOME": str(tmp_path / "home"), "TWINSERVE_FEATURE_REPO": str(REPO)}

    def start(*words: str) -> subprocess.Popen[str]:
        program = Path(sys.executable).with_name("data-pipeline")
        return subprocess.Popen(
            [program, *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    return start


@pytest.fixture
def run(tmp_path: Path) -> ViewRun:
    settings = load_settings(home=tmp_path / "home")
    return ViewRun(settings.scratch("data_pipeline", "a"), "driver_stats", "a")


def write_source(file: Path) -> Path:
    rng = np.random.default_rng(0)
    times = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(np.arange(ROWS) // 100, unit="min")
    frame = pd.DataFrame({
        "event_timestamp": times, "driver_id": np.arange(ROWS) % 100, "conv_rate": rng.random(ROWS, np.float32),
        "acc_rate": rng.random(ROWS, np.float32), "avg_daily_trips": np.arange(ROWS), "created": times,
    })  # fmt: skip
    frame.to_parquet(file, index=False)
    return file


def ended(process: subprocess.Popen[str]) -> tuple[int, dict[str, Any], str]:
    out, said = process.communicate(timeout=120)
    return process.returncode, json.loads(out.splitlines()[-1]) if process.returncode == 0 else {}, said


def test_of_two_ingests_at_once_what_one_claims_is_there(
    begin: Callable[..., subprocess.Popen[str]], run: ViewRun, tmp_path: Path
) -> None:
    source = write_source(tmp_path / "driver_stats.parquet")
    words = ("ingest", "--run-key", "a", "--view", "driver_stats", "--source", str(source))
    found = [ended(process) for process in [begin(*words) for _ in range(3)]]
    codes = sorted(code for code, _, _ in found)
    assert codes[0] == ExitCode.OK, found
    assert set(codes) <= {ExitCode.OK, ExitCode.TRANSIENT}, found
    for code, result, said in found:
        if code == ExitCode.OK:
            assert result["views"]["driver_stats"]["rows"] == ROWS
        else:
            assert "ingest of driver_stats in run 'a' can't begin: ingest of driver_stats in run 'a' (process " in said
    raw = ds.dataset(run.raw).to_table(columns=["avg_daily_trips"])["avg_daily_trips"].to_numpy()
    np.testing.assert_array_equal(np.sort(raw), np.arange(ROWS))


@pytest.mark.parametrize("step", STEPS)
def test_every_step_is_told_of_one_that_is_at_work(
    begin: Callable[..., subprocess.Popen[str]], run: ViewRun, step: str
) -> None:
    before = STEPS[max(STEPS.index(step) - 1, 0)]
    run.folder.mkdir(parents=True)
    run.finish(before, {})
    with run.alone("clean"):
        code, _, said = ended(begin(step, "--run-key", "a"))
    assert code == ExitCode.TRANSIENT, said
    assert f"{step} of driver_stats in run 'a' can't begin: clean of driver_stats in run 'a' (process " in said
    assert run.did(before), "nothing was touched"
