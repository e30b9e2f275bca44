"""The rows that are scored: the same for every contestant."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.job import Job

Rows = NDArray[np.float64]


def batches_of(job: Job) -> list[Rows]:
    """(rows, features) each, `job.size` rows a batch, from the head of the file."""
    rows = np.load(job.inputs["rows"], mmap_mode="r")
    return [np.array(rows[i * job.size : (i + 1) * job.size]) for i in range(int(job.inputs["batches"]))]


def save(job: Job, scores: list[NDArray[np.float64]]) -> None:
    """For the comparison."""
    np.save(job.folder / "scores.npy", np.concatenate(scores))
