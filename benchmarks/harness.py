"""The process of one contestant: `python -m benchmarks.harness MODULE JOB RESULT`.

`ready(job)` of the module imports and opens what it needs; the function that it returns is measured. Of its result,
`times` says how often it did the case, and `after` is called when the clock has stopped. Only the standard library is
imported here, so that a contestant's memory is its own.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path

from benchmarks.job import Job, Measured
from benchmarks.memory import own_peak


def main(module: str, job: Path, result: Path) -> None:
    """Run it once; write seconds, peak memory and what it says of itself."""
    measured: Measured = importlib.import_module(module).ready(Job.read(job))
    began = time.perf_counter()
    facts = measured()
    seconds = time.perf_counter() - began
    seconds /= facts.pop("times", 1)
    facts.pop("after", _nothing)()
    result.write_text(json.dumps({"seconds": seconds, "peak_bytes": own_peak(), "facts": facts}), encoding="utf-8")


def _nothing() -> None:
    """Most contestants leave their answer in a file as they go."""


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
