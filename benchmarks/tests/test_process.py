"""A contestant's process: what it tells, how it fails, and that nobody outlives it."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from benchmarks.job import Job
from benchmarks.process import RunFailed, run_module
from benchmarks.workspace import Workspace
from twinserve.errors import TransientError

HERE = "benchmarks.tests.contestants"
MEGA = 1_000_000


def run(tmp_path: Path, module: str, limit: float = 60, **options: str) -> dict[str, object]:
    folder = tmp_path / "run"
    folder.mkdir()
    done = run_module(f"{HERE}.{module}", Job(1, folder, {}, options), os.environ, limit, tmp_path / "log")
    return {"seconds": done.seconds, "peak": done.peak_bytes, "scratch": done.scratch_bytes, **done.facts}


def test_only_the_measured_part_counts_and_its_memory_is_seen(tmp_path: Path) -> None:
    found = run(tmp_path, "takes_memory", megabytes="200")
    assert found["size"] == 1
    assert isinstance(found["peak"], int)
    assert 200 * MEGA < found["peak"] < 400 * MEGA
    assert isinstance(found["seconds"], float)
    assert found["seconds"] < float(str(found["before"]))  # it slept before, outside the clock


def test_work_done_several_times_is_told_by_the_piece(tmp_path: Path) -> None:
    assert float(str(run(tmp_path, "sleeps_four_times")["seconds"])) < 0.1


def test_a_failure_names_the_exception_and_keeps_the_log(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="exit code 1: ValueError: no such luck"):
        run(tmp_path, "fails")
    assert "Traceback" in (tmp_path / "log").read_text()


def test_who_takes_too_long_is_stopped_with_all_that_it_started(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="was stopped after 1 s"):
        run(tmp_path, "never_ends", limit=1, note=str(tmp_path / "child"))
    assert not psutil.pid_exists(int((tmp_path / "child").read_text()))


def test_a_full_disk_is_said_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(TransientError, match="the join of 5 rows needs"):
        Workspace(tmp_path / "new", {}).need(1e18, "the join of 5 rows")


def test_scratch_is_empty_before_and_gone_after(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, {})
    (workspace.scratch / "left by a killed run").mkdir(parents=True)
    with pytest.raises(KeyboardInterrupt), workspace.at_work():
        assert list(workspace.scratch.iterdir()) == []
        raise KeyboardInterrupt
    assert not workspace.scratch.exists()
