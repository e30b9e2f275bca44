"""Our two commands that extract and predict, one after the other, each a whole process from its start to its end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.job import Facts, Job, Measured


def ready(job: Job) -> Measured:
    """Start-up of both processes included. What pins the run to the champion comes before: the plain script gets its
    model as a file.
    """
    command = [str(Path(sys.executable).with_name("model-serving")), "batch"]
    key = ["--run-key", job.inputs["run_key"]]
    subprocess.run([*command, "feature-store-init", *key], stdout=subprocess.PIPE, check=True)
    steps = (
        ["data-extraction", *key, "--input", job.inputs["entity_rows"]],
        ["batch-prediction", *key],
    )

    def measured() -> Facts:
        said = [
            subprocess.run([*command, *words], stdout=subprocess.PIPE, check=True, text=True).stdout for words in steps
        ]
        return {"result": json.loads(said[-1].splitlines()[-1])}

    return measured
