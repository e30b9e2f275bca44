"""Ctrl-C and SIGTERM while a command still imports what it needs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from twinserve.errors import ExitCode

IMPORTED = "import time:"  # what Python says of each module once it is there


@pytest.mark.parametrize("command", ["data-pipeline", "training-pipeline", "model-serving", "twinserve-local"])
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED)]
)
def test_a_command_that_still_imports_ends_in_one_line(command: str, number: signal.Signals, code: int) -> None:
    process = _started(command)
    said = _lines(process)
    next(line for line in said if line.endswith(" typer"))  # its own modules and their libraries are still to come
    process.send_signal(number)
    rest = [line for line in said if not line.startswith(IMPORTED)]
    assert process.wait(timeout=60) == code
    assert rest == [f"stopped by {number.name}"]


def test_nothing_heavy_is_imported_before_signals_are_answered() -> None:
    process = _started("data-pipeline")
    before = []
    for line in _lines(process):
        before.append(line.split("|")[-1].strip())
        if before[-1] == "twinserve.signals":
            break
    process.kill()
    process.communicate()
    assert not {"typer", "pydantic", "numpy", "pyarrow", "pandas"} & set(before)


def _started(command: str) -> subprocess.Popen[str]:
    script = Path(sys.executable).with_name(command)
    environment = {**os.environ, "PYTHONPROFILEIMPORTTIME": "1"}
    return subprocess.Popen(
        [script, "--help"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment
    )


def _lines(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stderr
    return (line.rstrip() for line in process.stderr)
