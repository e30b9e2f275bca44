"""A folder that `feast.FeatureStore(repo_path=…)` opens: the features of `benchmarks.items`, applied.

The options are those parts of `feature_store.yaml` in which two repos differ; whoever materializes from them makes the
same keys, since the project is the same.
"""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.job import Facts, Job, Measured


def ready(job: Job) -> Measured:
    """Writes the folder `target` over the file `features`; the option `store` holds JSON."""

    def measured() -> Facts:
        from benchmarks.items import definitions

        apply(job.path("target"), json.loads(job.options["store"]), definitions(job.inputs["features"]))
        return {}

    return measured


def apply(folder: Path, store: dict[str, object], objects: list[object]) -> None:
    """Write `feature_store.yaml` and register the objects, in a file beside it."""
    import yaml
    from feast import FeatureStore

    folder.mkdir(parents=True, exist_ok=True)
    basis = {"project": "benchmarks", "provider": "local", "entity_key_serialization_version": 3}
    registry = {"registry_type": "file", "path": str(folder / "registry.db"), "cache_ttl_seconds": 3600}
    online = {"type": "sqlite", "path": str(folder / "online.db")}
    content = {**basis, "registry": registry, "online_store": online, **store}
    (folder / "feature_store.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    FeatureStore(repo_path=str(folder)).apply(objects)
