"""The open loop, in a process of its own: see `benchmarks.online.arrivals`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.online.load import Load
from benchmarks.process import CHECKOUT
from twinserve.errors import PermanentError

MODULE = "benchmarks.online.arrivals"


def open_loop(port: int, bodies: Path, rate: float, seconds: float) -> Load:
    """Load a service with so many POST /inference a second.

    Raises:
        PermanentError: the generator failed; with the last line that it wrote.
    """
    words = [sys.executable, "-m", MODULE, str(port), str(bodies), str(rate), str(seconds)]
    done = subprocess.run(words, cwd=CHECKOUT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PermanentError(f"the open loop failed: {(done.stderr.strip() or 'it said nothing').splitlines()[-1]}")
    return parsed(done.stdout)


def parsed(said: str) -> Load:
    """The line that the generator prints."""
    found = json.loads(said)
    share, late = found.pop("processor_seconds") / found["seconds"], found.pop("late_p999")
    return Load(**found, generator_share=share, late=late)
