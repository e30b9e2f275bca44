"""Several commands of the project's console scripts in one process, in the `TWINSERVE_HOME` of the environment."""

from __future__ import annotations

import importlib
import json

from benchmarks.job import Facts, Job, Measured
from twinserve.command.containment import containing_environment
from twinserve.settings import export, load_settings


def ready(job: Job) -> Measured:
    """Runs the option `commands`, a JSON list of lists of words; the first word names the script."""

    def measured() -> Facts:
        export(containing_environment(load_settings().home), over=False)
        for script, *words in json.loads(job.options["commands"]):
            app = importlib.import_module(f"{script.replace('-', '_')}.cli").app
            app(words, standalone_mode=False)
        return {}

    return measured
