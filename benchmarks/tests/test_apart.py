"""The service has a core of its own for as long as the open loop takes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from benchmarks.online.apart import apart

CORES = os.sched_getaffinity(0)
OWN, REST = ({min(CORES)}, CORES - {min(CORES)}) if len(CORES) > 1 else (CORES, CORES)
PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(0, flush=True); input()'])"


@pytest.fixture
def family() -> Iterator[int]:
    """A process whose child has begun."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline()
        yield parent.pid
        parent.communicate(b"\n")


def test_nobody_else_is_on_the_core_of_the_service(family: int) -> None:
    child = psutil.Process(family).children()[0].pid
    with apart(family):
        assert os.sched_getaffinity(family) == os.sched_getaffinity(child) == OWN
        started = subprocess.run(
            [sys.executable, "-c", "import os; print(sorted(os.sched_getaffinity(0)))"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert started.stdout.strip() == str(sorted(REST))
    assert all(os.sched_getaffinity(each) == CORES for each in (0, family, child))


def test_a_process_that_is_gone_is_no_fault() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with apart(gone.pid):
        assert os.sched_getaffinity(0) == REST
    assert os.sched_getaffinity(0) == CORES
