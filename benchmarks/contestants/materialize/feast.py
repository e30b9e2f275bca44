"""`FeatureStore.materialize` of a period into an empty Redis, with the batch engine that `feature_store.yaml` names.

As in Feast's documentation, "Load data into the online store". Ours and Feast's own differ in that file only.
"""

from __future__ import annotations

from datetime import UTC, datetime

from benchmarks.job import Facts, Job, Measured


def ready(job: Job) -> Measured:
    """Reading the features and writing the latest of each key are measured."""
    import redis
    from feast import FeatureStore

    with redis.Redis.from_url(job.inputs["redis_url"]) as client:
        client.flushall()
    store = FeatureStore(repo_path=job.inputs[job.options["repo"]])
    start, end = (datetime.fromtimestamp(int(job.inputs[name]), UTC) for name in ("start", "end"))

    def measured() -> Facts:
        store.materialize(start, end)
        return {}

    return measured
