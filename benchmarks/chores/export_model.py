"""What the plain way needs of a trained version: the estimator, by joblib, and a feature repo on Feast's file store.

The repo holds the registered definitions, so the plain way reads the very files that ours does.
"""

from __future__ import annotations

import json
from typing import Any

from benchmarks.chores.feast_repo import apply
from benchmarks.job import Facts, Job, Measured
from twinserve.files.atomic import write_atomically

NO_REDIS = "redis://127.0.0.1:1/0"  # nothing online is read


def ready(job: Job) -> Measured:
    """Writes into the folder `target`."""

    def measured() -> Facts:
        import joblib

        from twinserve.features.feast_repo.store import open_store
        from twinserve.registry import Registry
        from twinserve.settings import load_settings

        target, settings = job.path("target"), load_settings()
        target.mkdir(parents=True, exist_ok=True)
        model = Registry(settings).load_champion()
        joblib.dump(_estimator(model.name, model.version), target / "model.joblib")
        store = open_store(settings, NO_REDIS)
        plain = target / "repo"
        apply(plain, {"offline_store": {"type": "file"}}, _objects(store))
        first = store.get_feature_view(model.contract.views[0])
        found = {
            "version": model.version,
            "model": str(target / "model.joblib"),
            "plain_repo": str(plain),
            "service": model.contract.feature_service,
            "keys": ",".join(key.name for key in model.contract.join_keys),
            "features": ",".join(model.contract.columns),
            "feature_files": f"{first.batch_source.path}/**/*.parquet",
            "feature_time": first.batch_source.timestamp_field,
            "feature_created": first.batch_source.created_timestamp_column,
        }
        write_atomically(target / "model.json", json.dumps(found))
        return dict(found)

    return measured


def _estimator(name: str, version: str) -> Any:
    import mlflow

    return mlflow.sklearn.load_model(f"models:/{name}/{version}")


def _objects(store: Any) -> list[Any]:
    entities = [entity for entity in store.list_entities() if entity.name != "__dummy"]
    return [*entities, *store.list_feature_views(), *store.list_feature_services()]
