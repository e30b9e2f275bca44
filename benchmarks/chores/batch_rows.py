"""A Parquet file of `size` keys and moments: keys that have features, whole seconds between the first and the last."""

from __future__ import annotations

from benchmarks.job import Facts, Job, Measured
from twinserve.files.atomic import atomic_file

KEYS = "SELECT row_number() OVER (ORDER BY {keys}) - 1 AS number, {keys} FROM (SELECT DISTINCT {keys} FROM '{files}')"
SQL = """
    SELECT {keys}, make_timestamptz(({first} + (hash(i, {seed}, 6) % {seconds})::BIGINT) * 1000000) AS event_timestamp
    FROM (SELECT i, (hash(i, {seed}, 7) % {count})::BIGINT AS number FROM range({rows}) AS numbers(i))
    JOIN keys USING (number)
"""
BOUNDS = """
    SELECT (SELECT count(*) FROM keys), epoch_us(min({time}::TIMESTAMPTZ)) // 1000000 + 1,
           epoch_us(max({time}::TIMESTAMPTZ)) // 1000000 + 3600 FROM '{files}'
"""


def ready(job: Job) -> Measured:
    """Writes the file `target`, from the option `seed` and the files `feature_files`."""

    def measured() -> Facts:
        import duckdb

        words = {"files": job.inputs["feature_files"], "keys": quoted(job.inputs["keys"]),
                 "time": quoted(job.inputs["feature_time"]), "seed": int(job.options["seed"])}  # fmt: skip
        with atomic_file(job.path("target")) as draft, duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(f"CREATE TABLE keys AS {KEYS.format(**words)}")
            count, first, last = connection.execute(BOUNDS.format(**words)).fetchall()[0]
            words |= {"count": count, "first": first, "seconds": last - first, "rows": job.size}
            connection.execute(f"COPY ({SQL.format(**words)}) TO '{draft}' (FORMAT parquet)")
        return {}

    return measured


def quoted(names: str) -> str:
    """Names with commas between them, as SQL identifiers."""
    return ", ".join(f'"{name}"' for name in names.split(","))
