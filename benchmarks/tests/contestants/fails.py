"""Raises."""

from __future__ import annotations

from benchmarks.job import Facts, Job, Measured


def ready(job: Job) -> Measured:
    def measured() -> Facts:
        raise ValueError("no such luck")

    return measured
