"""The plain way, a whole process from its start to its end: see `plain_script.py`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.job import Facts, Job, Measured

SCRIPT = Path(__file__).with_name("plain_script.py")
WORDS = ("plain_repo", "service", "entity_rows", "model", "features")


def ready(job: Job) -> Measured:
    """Start-up of the process included."""

    def measured() -> Facts:
        words = [job.inputs[name] for name in WORDS]
        subprocess.run([sys.executable, str(SCRIPT), *words, str(job.output)], check=True)
        return {}

    return measured
