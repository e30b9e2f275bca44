"""Ctrl-C and SIGTERM while a command still imports what it needs."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from twinserve.errors import ExitCode

PIPE_BYTES = 4096  # the least that Linux gives a pipe


@pytest.mark.parametrize("command", ["data-pipeline", "training-pipeline", "model-serving", "twinserve-local"])
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED)]
)
def test_a_command_that_still_imports_ends_in_one_line(command: str, number: signal.Signals, code: int) -> None:
    with _importing(command) as (process, modules):
        next(module for module in modules if module.endswith(".__main__"))
        next(modules)  # of those that come after it
        process.send_signal(number)
        rest = b"".join(modules.said)
        assert process.wait(timeout=60) == code
    assert rest.endswith(f"stopped by {number.name}\n".encode())
    assert rest.count(b"stopped by") == 1
    assert b"Traceback" not in rest


def test_nothing_heavy_is_imported_before_signals_are_answered() -> None:
    with _importing("data-pipeline") as (_, modules):
        before = set(iter(modules.__next__, "data_pipeline.__main__"))
    assert "twinserve.command.signals" in before
    assert not {"typer", "pydantic", "numpy", "pyarrow", "pandas"} & before


class _Modules:
    """The modules that a process imports, each once it is there, as Python says of them on standard error.

    The process can't run ahead of who reads: it waits once the pipe is full.
    """

    def __init__(self, said: IO[bytes]) -> None:
        self.said = said

    def __iter__(self) -> _Modules:
        return self

    def __next__(self) -> str:
        line = self.said.readline()
        assert line, "it has ended"
        return line.decode().rpartition("|")[2].strip()


@contextmanager
def _importing(command: str) -> Iterator[tuple[subprocess.Popen[bytes], _Modules]]:
    script, told = Path(sys.executable).with_name(command), {**os.environ, "PYTHONPROFILEIMPORTTIME": "1"}
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    with os.fdopen(read, "rb", buffering=0) as said:
        process = subprocess.Popen([script, "--help"], stdout=subprocess.DEVNULL, stderr=write, env=told)
        os.close(write)
        try:
            yield process, _Modules(said)
        finally:
            process.kill()
            process.wait()
