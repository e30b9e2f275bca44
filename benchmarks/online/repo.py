"""The feature repo and the training parameters of a world: one key, a view of so many features, a label to predict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from benchmarks.process import CHECKOUT
from twinserve.files.atomic import write_atomically

PROJECT = "benchmarks"
SERVICE = "item_ranking"
VIEW = "item_stats"
KEY = "item_id"
PARAMS = CHECKOUT / "training_pipeline" / "params.yaml"
STORE = CHECKOUT / "data_pipeline" / "feature_repo" / "feature_store.yaml"
DEFINITIONS = '''"""Items, made for a benchmark: {width} features."""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.types import Float32, Int64

from twinserve.features.sources import offline_source

item = Entity(name="item", join_keys=["{key}"], value_type=ValueType.INT64)
stats = FeatureView(
    name="{view}",
    entities=[item],
    schema=[
        Field(name="{key}", dtype=Int64),
{fields}
    ],
    source=offline_source("{view}"),
    ttl=timedelta(days=3650),
    online=True,
)
ranking = FeatureService(name="{service}", features=[stats])
'''


def feature_names(width: int) -> list[str]:
    """Of each three, two are rates between 0 and 1 (float32), and one is a count (int64)."""
    return [f"{'tally' if is_count(place) else 'rate'}_{place:02d}" for place in range(width)]


def is_count(place: int) -> bool:
    """Whether the feature at this place is a count."""
    return place % 3 == 2  # noqa: PLR2004 - the third of each three


def write_repo(folder: Path, width: int) -> None:
    """Definitions, and `feature_store.yaml` as the project's own, under another project name."""
    folder.mkdir(parents=True, exist_ok=True)
    fields = "\n".join(
        f'        Field(name="{name}", dtype={"Int64" if is_count(place) else "Float32"}),'
        for place, name in enumerate(feature_names(width))
    )
    names = {"key": KEY, "view": VIEW, "service": SERVICE}
    write_atomically(folder / "definitions.py", DEFINITIONS.format(width=width, fields=fields, **names))
    store = yaml.safe_load(STORE.read_text(encoding="utf-8"))
    write_atomically(folder / "feature_store.yaml", yaml.safe_dump({**store, "project": PROJECT}))


def write_params(file: Path, preset: str, labels: Path) -> None:
    """The project's own parameters, on these labels and for this preset."""
    params: dict[str, Any] = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))
    params["feature_service"] = SERVICE
    params["labels"] = {"file": str(labels), "timestamp": "event_timestamp", "target": "label", "classes": [0, 1]}
    params["output"]["meaning"] = "probability of the label"
    params["model"]["estimator"] = preset
    params["experiment"] = PROJECT
    write_atomically(file, yaml.safe_dump(params))
