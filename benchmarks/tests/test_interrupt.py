"""Ctrl-C in the middle: a Redis, a contestant and a scratch folder are there, and then none of them is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from benchmarks.process import CHECKOUT

SECONDS = 60.0


@pytest.mark.integration
def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TWINSERVE_")}
    command = [sys.executable, "-m", "benchmarks", "run", "--quick", "--only", "materialize"]
    bench = subprocess.Popen(
        command, cwd=CHECKOUT, env={**environment, "TWINSERVE_HOME": str(tmp_path)},
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    started = await_redis_and_a_child(bench)
    os.killpg(bench.pid, signal.SIGINT)
    _, said = bench.communicate(timeout=SECONDS)
    assert bench.returncode == 130, said.decode()
    assert b"Traceback" not in said
    assert not [process for process in started if lives(process)]
    assert not (tmp_path / "benchmarks" / "scratch").exists()


def await_redis_and_a_child(bench: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Everything that it has started, once Redis and a process of a contestant or a fixture are among it."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and bench.poll() is None:
        children = psutil.Process(bench.pid).children(recursive=True)
        if len(children) > 1 and any("redis" in process.name() for process in children):
            return children
        time.sleep(0.05)
    raise AssertionError("it started no Redis and contestant")


def lives(process: psutil.Process) -> bool:
    """A zombie has ended; whoever inherited it has yet to take note."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
