"""The closed loop: wrk keeps so many connections busy, each with its next request as soon as it has its answer."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
from pathlib import Path

from benchmarks.online.load import Load
from twinserve.errors import PermanentError, StepMissing

SCRIPT = Path(__file__).with_name("wrk.lua")
MARK = "wrk: "
TIMEOUT_SECONDS = 60
MICRO = 1e-6


def closed_loop(port: int, bodies: Path, seconds: float, connections: int) -> Load:
    """Load a service with POST /inference.

    Raises:
        StepMissing: there is no wrk.
        PermanentError: wrk failed.
    """
    words = [
        program(), "--threads", "1", "--connections", str(connections), "--duration", f"{max(round(seconds), 1)}s",
        "--timeout", f"{TIMEOUT_SECONDS}s", "--latency", "--script", str(SCRIPT),
        f"http://127.0.0.1:{port}/inference", "--", str(bodies),
    ]  # fmt: skip
    before = _processor_seconds()
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    used = _processor_seconds() - before
    if done.returncode:
        raise PermanentError(f"wrk failed: {(done.stderr or done.stdout).strip()}")
    return parsed(done.stdout, used)


def parsed(said: str, processor_seconds: float = 0.0) -> Load:
    """The line that `wrk.lua` prints.

    Raises:
        PermanentError: there is none.
    """
    line = next((line for line in said.splitlines() if line.startswith(MARK)), None)
    if line is None:
        raise PermanentError(f"wrk has told no figures: {said.strip()[-200:]}")
    found = json.loads(line.removeprefix(MARK))
    seconds = found["microseconds"] * MICRO
    times = {name: found[name] * MICRO for name in ("p50", "p99", "p999", "longest")}
    return Load(
        found["requests"], seconds, sum(found["errors"].values()), **times, generator_share=processor_seconds / seconds
    )


def program() -> str:
    found = shutil.which("wrk")
    if found is None:
        raise StepMissing("wrk is not installed", fix="Get it with apt-get install wrk, or brew install wrk")
    return found


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
