"""Rows to score: features as they are in the offline store, `size` of them drawn at random, as NumPy stores them."""

from __future__ import annotations

from benchmarks.chores.batch_rows import quoted
from benchmarks.job import Facts, Job, Measured
from twinserve.files.atomic import atomic_file


def ready(job: Job) -> Measured:
    """Writes the file `target`, from the option `seed`."""

    def measured() -> Facts:
        import duckdb
        import numpy as np

        columns = quoted(job.inputs["features"])
        with duckdb.connect() as connection:
            found = connection.sql(f"SELECT {columns} FROM '{job.inputs['feature_files']}'").df()
        rows = found.dropna().to_numpy(float)
        drawn = np.random.default_rng(int(job.options["seed"])).integers(0, len(rows), job.size)
        with atomic_file(job.path("target")) as draft, draft.open("wb") as file:
            np.save(file, rows[drawn])
        return {}

    return measured
