"""One contestant in a fresh process of its own: started, watched, waited for, and never left behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks.job import Facts, Job
from benchmarks.watch import Watch
from twinserve.errors import PermanentError

CHECKOUT = Path(__file__).parents[1]
LOOK_SECONDS = 0.2
LEAVE_SECONDS = 20.0
EXCEPTION = re.compile(r"[\w.]+: ")


@dataclass(frozen=True)
class Run:
    """What one run took.

    Attributes:
        seconds: of the measured part.
        peak_bytes: resident memory at most, imports included, of the process and its children.
        scratch_bytes: files in the run's folder at most.
        facts: what it said of itself.
    """

    seconds: float
    peak_bytes: int
    scratch_bytes: int
    facts: Facts


class RunFailed(PermanentError):
    """A contestant ended without a result; the last line that it wrote is in the message."""


def run_module(module: str, job: Job, environment: Mapping[str, str], limit_seconds: float, kept_log: Path) -> Run:
    """Run a module in a new process, in the job's folder.

    Args:
        kept_log: where all that a failing one wrote is kept.

    Raises:
        RunFailed: it failed, or took longer than `limit_seconds`.
    """
    private = job.folder / "process"
    private.mkdir(parents=True)
    words, result, log = private / "job.json", private / "result.json", private / "log"
    job.write(words)
    with log.open("wb") as said, _started([module, str(words), str(result)], environment, said) as process:
        watch = _watched(process, job.folder, time.monotonic() + limit_seconds)
    if process.returncode or not result.exists():
        shutil.copyfile(log, kept_log)
        raise RunFailed(
            f"{module} {_ending(process.returncode, limit_seconds)}: {complaint(log)}",
            fix=f"All of it is in {kept_log}",
        )
    measured = json.loads(result.read_text(encoding="utf-8"))
    peak = max(measured["peak_bytes"], watch.tree_bytes)
    shutil.rmtree(private)
    return Run(measured["seconds"], peak, watch.scratch_bytes, measured["facts"])


@contextmanager
def _started(words: list[str], environment: Mapping[str, str], log: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "benchmarks.harness", *words]
    process = subprocess.Popen(
        command, cwd=CHECKOUT, env=dict(environment), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        start_new_session=True,  # Ctrl-C is for us, and we end the whole session
    )  # fmt: skip
    try:
        yield process
    finally:
        end(process)


def _watched(process: subprocess.Popen[bytes], folder: Path, deadline: float) -> Watch:
    watch = Watch(process.pid, folder)
    while process.poll() is None:
        if time.monotonic() > deadline:
            end(process)
        watch.look()
        with suppress(subprocess.TimeoutExpired):
            process.wait(LOOK_SECONDS)
    return watch


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask the session to stop, so that a console script stops its servers; end what does not listen."""
    if process.poll() is None:
        _signal(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + LEAVE_SECONDS
    while time.monotonic() < deadline and (process.poll() is None or _signal(process.pid, 0)):
        time.sleep(0.02)
    _signal(process.pid, signal.SIGKILL)
    process.wait()


def _signal(session: int, number: int) -> bool:
    """Whether there was anybody to hear it."""
    try:
        os.killpg(session, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _ending(code: int, limit_seconds: float) -> str:
    if code == -signal.SIGTERM:
        return f"was stopped after {limit_seconds:.0f} s"
    return f"ended with exit code {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"


def complaint(log: Path) -> str:
    """The line that names an exception, or else the last one."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["it said nothing"]
    return next((line for line in reversed(lines) if EXCEPTION.match(line)), lines[-1])
