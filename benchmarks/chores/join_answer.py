"""Digests of a contestant's answer, to be compared with the reference's."""

from __future__ import annotations

from benchmarks.chores.digests import foreign_rows, sums
from benchmarks.job import Facts, Job, Measured

FILE = "read_parquet('{path}', file_row_number = true)"


def ready(job: Job) -> Measured:
    """Reads the file `answer`; with the input `hashes`, counts the rows that are not of the right answer."""

    def measured() -> Facts:
        import duckdb

        relation = FILE.format(path=job.inputs["answer"])
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            found = sums(connection, relation, "file_row_number")
            if "hashes" in job.inputs:
                found["foreign"] = foreign_rows(connection, relation, job.inputs["hashes"])
        return dict(found)

    return measured
