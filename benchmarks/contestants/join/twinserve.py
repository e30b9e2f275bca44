"""Our offline store, through the same call of Feast's, for the path of a Parquet file; the job writes Parquet."""

from __future__ import annotations

from benchmarks.job import Facts, Job, Measured


def ready(job: Job) -> Measured:
    """Reading the entity rows, the join and writing are measured."""
    from feast import FeatureStore

    store = FeatureStore(repo_path=job.inputs["twinserve_repo"])

    def measured() -> Facts:
        joined = store.get_historical_features(
            entity_df=job.inputs["entity_rows"], features=store.get_feature_service("items")
        )
        joined.write_parquet(job.output)
        return {}

    return measured
