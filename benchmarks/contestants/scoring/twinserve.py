"""`ServedModel.score` of the registered version, batch after batch, or several at once, as batch prediction does."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from benchmarks.contestants.scoring.batches import batches_of, save
from benchmarks.job import Facts, Job, Measured


def ready(job: Job) -> Measured:
    """Scoring alone is measured."""
    from twinserve.registry import Registry
    from twinserve.settings import load_settings

    score = Registry(load_settings()).load_version(job.inputs["version"]).score
    batches = batches_of(job)
    threads = (os.cpu_count() or 1) if "threads" in job.options else 1
    pool = ThreadPoolExecutor(threads)
    list(pool.map(score, batches[: 2 * threads]))  # threads and buffers are there

    def measured() -> Facts:
        scores = list(pool.map(score, batches)) if threads > 1 else [score(batch) for batch in batches]
        return {"times": len(batches), "after": lambda: save(job, scores)}

    return measured
