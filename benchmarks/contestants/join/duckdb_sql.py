"""`ASOF LEFT JOIN` from file to file, as in DuckDB's guide "AsOf Join".

With the option `order`, rows come in the order of the input, by `file_row_number`.
"""

from __future__ import annotations

from benchmarks.job import Facts, Job, Measured

JOIN = """
    SELECT {entity}, feature.rate_a, feature.rate_b, feature.tally
    FROM read_parquet('{entity_rows}'{numbered}) AS entity
    ASOF LEFT JOIN '{features}' AS feature
      ON entity.item_id = feature.item_id AND entity.event_timestamp >= feature.event_timestamp
    {order}
"""


def ready(job: Job) -> Measured:
    """Reading, the join and writing are measured."""
    import duckdb

    ordered = "order" in job.options
    query = JOIN.format(
        entity="entity.* EXCLUDE (file_row_number)" if ordered else "entity.*",
        numbered=", file_row_number = true" if ordered else "",
        order="ORDER BY entity.file_row_number" if ordered else "",
        **job.inputs,
    )

    def measured() -> Facts:
        with duckdb.connect() as connection:
            connection.execute(f"SET temp_directory = '{job.folder / 'tmp'}'")
            if not ordered:
                connection.execute("SET preserve_insertion_order = false")  # as the guide to large files advises
            connection.execute(f"COPY ({query}) TO '{job.output}' (FORMAT parquet)")
        return {}

    return measured
