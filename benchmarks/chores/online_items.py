"""Features of `size` items as the offline store has them, and labels that depend on them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.job import Facts, Job, Measured
from twinserve.files.atomic import atomic_file

FIRST_KEY = 1000
FEATURES_AT = datetime(2025, 1, 1, tzinfo=UTC)
LABELS_FROM = datetime(2025, 1, 2, tzinfo=UTC)
LABELS = 20_000


def ready(job: Job) -> Measured:
    """Writes `offline`, a Parquet file, and `labels`; the option `columns` names the features."""

    def measured() -> Facts:
        import numpy as np
        import pyarrow as pa

        rng = np.random.default_rng(int(job.options["seed"]))
        columns = job.options["columns"].split(",")
        keys = np.arange(FIRST_KEY, FIRST_KEY + job.size)
        features = {name: _feature(rng, name, job.size) for name in columns}
        time = pa.array([FEATURES_AT] * job.size, pa.timestamp("us", "UTC"))
        _write(job.path("offline"), {"item_id": keys, **features, "event_timestamp": time, "created": time})
        _write(job.path("labels"), _labels(rng, keys, features))
        return {}

    return measured


def _feature(rng: Any, name: str, size: int) -> Any:
    import numpy as np

    return rng.integers(0, 1000, size) if name.startswith("tally") else rng.random(size).astype(np.float32)


def _labels(rng: Any, keys: Any, features: dict[str, Any]) -> dict[str, Any]:
    """The chance of a label is the logistic function of a weighted sum of all features, each brought to one scale."""
    import numpy as np
    import pyarrow as pa

    scaled = np.stack([(values - values.mean()) / values.std() for values in features.values()], axis=1)
    weights = rng.normal(size=len(features))
    margin = scaled @ (weights * 2 / np.linalg.norm(weights))
    chosen = rng.integers(0, len(keys), LABELS)
    seconds = np.sort(rng.integers(0, 30 * 86_400, LABELS)) + int(LABELS_FROM.timestamp())
    times = pa.array(seconds * 1_000_000, pa.int64()).cast(pa.timestamp("us", "UTC"))
    happened = (rng.random(LABELS) < 1 / (1 + np.exp(-margin[chosen]))).astype(np.int64)
    return {"event_timestamp": times, "item_id": keys[chosen], "label": happened}


def _write(target: Path, columns: dict[str, Any]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with atomic_file(target) as draft:
        pq.write_table(pa.table(columns), draft)
