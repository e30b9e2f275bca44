"""`join_asof` of two lazy frames, by key, sunk into a file: Polars' user guide, "Joins", "Asof join" and "Sinks"."""

from __future__ import annotations

from benchmarks.job import Facts, Job, Measured


def ready(job: Job) -> Measured:
    """Reading, sorting by time (which `join_asof` asks for), the join and writing are measured."""
    import polars as pl

    def measured() -> Facts:
        rows = pl.scan_parquet(job.inputs["entity_rows"]).sort("event_timestamp")
        features = pl.scan_parquet(job.inputs["features"]).drop("created").sort("event_timestamp")
        joined = rows.join_asof(features, on="event_timestamp", by="item_id", strategy="backward")
        joined.sink_parquet(job.output)
        return {}

    return measured
