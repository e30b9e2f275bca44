"""Starts a process, notes its id, and waits for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.job import Facts, Job, Measured


def ready(job: Job) -> Measured:
    def measured() -> Facts:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(job.options["note"]).write_text(str(child.pid))
        child.wait()
        return {}

    return measured
