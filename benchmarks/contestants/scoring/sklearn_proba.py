"""`predict_proba` of the fitted estimator, batch after batch, with scikit-learn's own threads; or several at once."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from benchmarks.contestants.scoring.batches import batches_of, save
from benchmarks.job import Facts, Job, Measured


def ready(job: Job) -> Measured:
    """Scoring alone is measured."""
    import joblib

    estimator = joblib.load(job.inputs["model"])
    batches = batches_of(job)
    threads = (os.cpu_count() or 1) if "threads" in job.options else 1
    pool = ThreadPoolExecutor(threads)
    list(pool.map(estimator.predict_proba, batches[: 2 * threads]))

    def measured() -> Facts:
        if threads > 1:
            scores = list(pool.map(estimator.predict_proba, batches))
        else:
            scores = [estimator.predict_proba(batch) for batch in batches]
        return {"times": len(batches), "after": lambda: save(job, [both[:, 1] for both in scores])}

    return measured
