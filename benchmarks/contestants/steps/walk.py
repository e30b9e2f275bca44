"""The steps of the README, each a whole process from its start to its end, by the build in a checked out tree."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.job import Facts, Job, Measured

KEY = ("--run-key", "bench")
STEPS = (
    ("data-pipeline", "generate"),
    *(("data-pipeline", step, *KEY) for step in ("ingest", "clean", "explore-and-validate")),
    ("data-pipeline", "apply"),
    ("data-pipeline", "materialize"),
    *(
        ("training-pipeline", step, *KEY)
        for step in (
            "feature-store-init",
            "data-extraction",
            "data-validation",
            "data-preparation",
            "model-training",
            "model-evaluation",
            "model-validation",
        )
    ),
    *(("model-serving", "batch", step, *KEY) for step in ("feature-store-init", "data-extraction", "batch-prediction")),
)


def ready(job: Job) -> Measured:
    """As many of the steps as the size says, in the folder `tree` of the options and with its environment `.venv`.

    `generate` is given the words of the option `world`.

    A first walk, which is not measured, leaves the byte code that an installed program has.
    """
    tree, world = Path(job.options["tree"]), job.options["world"].split()
    steps = [(*words, *world) if words[-1] == "generate" else words for words in STEPS[: job.size]]
    mark = job.path("bytecode") / f"walked-{job.size}" / tree.relative_to("/")
    if not mark.exists():
        for words in steps:
            _took(tree, words, job.folder / "first")
        mark.mkdir(parents=True)

    def measured() -> Facts:
        return {"took": {" ".join(words[:3]): _took(tree, words, job.folder / "home") for words in steps}}

    return measured


def _took(tree: Path, words: Sequence[str], home: Path) -> float:
    began = time.perf_counter()
    command = ["env", f"TWINSERVE_HOME={home}", str(tree / ".venv" / "bin" / words[0]), *words[1:]]
    subprocess.run(command, cwd=tree, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    return time.perf_counter() - began
