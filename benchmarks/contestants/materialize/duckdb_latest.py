"""The latest row of each key by DuckDB, brought into memory and written nowhere: what reading alone costs."""

from __future__ import annotations

from benchmarks.job import Facts, Job, Measured

LATEST = """
    SELECT item_id, rate_a, rate_b, tally, event_timestamp FROM '{features}'
    QUALIFY row_number() OVER (PARTITION BY item_id ORDER BY event_timestamp DESC, created DESC) = 1
"""


def ready(job: Job) -> Measured:
    """Reading and grouping are measured."""
    import duckdb

    def measured() -> Facts:
        with duckdb.connect() as connection:
            connection.execute(f"SET temp_directory = '{job.folder / 'tmp'}'")
            return {"rows": connection.sql(LATEST.format(**job.inputs)).to_arrow_table().num_rows}

    return measured
