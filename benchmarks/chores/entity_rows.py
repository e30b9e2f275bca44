"""A Parquet file of `size` entity rows: a key of those that have features, and a second within their 25 hours.

Whole seconds, so that among a million rows some hundred share key and moment, as in real logs. The first hour has rows
that no feature precedes.
"""

from __future__ import annotations

from benchmarks.chores.item_features import BEGIN, FIRST_KEY
from benchmarks.job import Facts, Job, Measured
from twinserve.files.atomic import atomic_file

SECONDS = 25 * 3600
SQL = """
    SELECT {first} + (hash(i, {seed}, 4) % {keys})::BIGINT AS item_id,
           make_timestamptz(({begin} + (hash(i, {seed}, 5) % {seconds})::BIGINT) * 1000000) AS event_timestamp
    FROM range({rows}) AS numbers(i)
"""


def ready(job: Job) -> Measured:
    """Writes the file `target`, from the options `seed` and `keys`."""

    def measured() -> Facts:
        import duckdb

        options = {name: int(value) for name, value in job.options.items()}
        query = SQL.format(first=FIRST_KEY, begin=BEGIN, seconds=SECONDS, rows=job.size, **options)
        with atomic_file(job.path("target")) as draft, duckdb.connect() as connection:
            connection.execute(f"SET TimeZone = 'UTC'; COPY ({query}) TO '{draft}' (FORMAT parquet)")
        return {}

    return measured
