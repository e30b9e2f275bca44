"""Feast, whatever its offline store: `get_historical_features` for a DataFrame of entity rows, `to_arrow`, Parquet.

As in Feast's documentation, "Point-in-time joins" and `FeatureStore.get_historical_features`. `to_arrow` instead of
`to_df` saves the stores a conversion.
"""

from __future__ import annotations

from benchmarks.job import Facts, Job, Measured


def ready(job: Job) -> Measured:
    """Reading the entity rows, the join and writing are measured."""
    import pandas as pd
    import pyarrow.parquet as pq
    from feast import FeatureStore

    store = FeatureStore(repo_path=job.inputs[job.options["repo"]])

    def measured() -> Facts:
        rows = pd.read_parquet(job.inputs["entity_rows"])
        joined = store.get_historical_features(entity_df=rows, features=store.get_feature_service("items"))
        pq.write_table(joined.to_arrow(), job.output)
        return {}

    return measured
