"""A contestant's scores against `predict_proba`, row by row in one batch."""

from __future__ import annotations

from benchmarks.job import Facts, Job, Measured


def ready(job: Job) -> Measured:
    """Compares the file `scores` with what the estimator gives for the head of `rows`."""

    def measured() -> Facts:
        import joblib
        import numpy as np

        given = np.load(job.inputs["scores"])
        right = joblib.load(job.inputs["model"]).predict_proba(np.load(job.inputs["rows"])[: len(given)])[:, 1]
        apart = np.abs(given - right) / np.maximum(np.abs(given), np.abs(right))
        return {"rows": len(given), "largest_difference": float(apart.max())}

    return measured
