"""Sleeps before the clock starts, then holds memory."""

from __future__ import annotations

import time

from benchmarks.job import Facts, Job, Measured

BEFORE = 2.0


def ready(job: Job) -> Measured:
    time.sleep(BEFORE)

    def measured() -> Facts:
        held = bytearray(b"x") * (int(job.options["megabytes"]) * 1_000_000)
        return {"size": job.size, "before": BEFORE, "held": len(held)}

    return measured
