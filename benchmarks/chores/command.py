"""One of the project's console scripts, in the `TWINSERVE_HOME` of the environment."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.job import Facts, Job, Measured
from twinserve.errors import PermanentError


def ready(job: Job) -> Measured:
    """Runs the option `words`, a JSON list.

    Raises, when it runs:
        PermanentError: the command failed; with the last line that it said.
    """

    def measured() -> Facts:
        run(json.loads(job.options["words"]))
        return {}

    return measured


def run(words: list[str]) -> None:
    """The script of that name beside this Python."""
    script = str(Path(sys.executable).with_name(words[0]))
    done = subprocess.run([script, *words[1:]], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip() or "it said nothing").splitlines()[-1]
        raise PermanentError(f"{' '.join(words)} ended with exit code {done.returncode}: {said}")
