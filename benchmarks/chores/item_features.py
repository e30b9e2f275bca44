"""A Parquet file of features: `size` keys, 24 rows each, one an hour, at any second of its hour."""

from __future__ import annotations

from benchmarks.job import Facts, Job, Measured
from twinserve.files.atomic import atomic_file

BEGIN = 1_700_000_000  # seconds since 1970
HOURS = 24
FIRST_KEY = 1000
SQL = """
    SELECT {first} + i % {keys} AS item_id, make_timestamptz(micros) AS event_timestamp,
           make_timestamptz(micros + 300000000) AS created,
           (hash(i, {seed}, 1) % 1000001 / 1e6)::FLOAT AS rate_a, (hash(i, {seed}, 2) % 1000001 / 1e6)::FLOAT AS rate_b,
           (hash(i, {seed}, 3) % 1000)::BIGINT AS tally
    FROM (SELECT i, ({begin} + i // {keys} * 3600 + (hash(i, {seed}) % 3000)::BIGINT) * 1000000 AS micros
          FROM range({keys} * {hours}) AS numbers(i))
"""


def ready(job: Job) -> Measured:
    """Writes the file `target`, from the option `seed`."""

    def measured() -> Facts:
        import duckdb

        query = SQL.format(first=FIRST_KEY, keys=job.size, begin=BEGIN, hours=HOURS, seed=int(job.options["seed"]))
        with atomic_file(job.path("target")) as draft, duckdb.connect() as connection:
            connection.execute(f"SET TimeZone = 'UTC'; COPY ({query}) TO '{draft}' (FORMAT parquet)")
        return {}

    return measured
