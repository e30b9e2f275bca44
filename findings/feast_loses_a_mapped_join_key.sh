#!/bin/bash
# A good guess would be: `field_mapping` of a Feast source and an Entity without `value_type` go together, as each does
# alone: `feast apply` infers the type of the key from the source's column, or refuses the view.
# True is: the inference looks for the join key among the source's own column names, before they are mapped. It finds
# none, and says nothing: `apply` succeeds, and the view is registered with an entity and without a key column. A
# historical read of three keys then gives one row, with the newest feature row of any key; after `materialize` an online
# read gives None for all three. With `value_type` given, or the key listed in the schema, all three answers are right.
# Source: github.com/feast-dev/feast, sdk/python/feast/inference.py (`_infer_features_and_entities`: `elif col_name in
# join_keys`, the mapping is applied to features alone), seen with Feast 0.67.0. Date: 2026-11-28.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check feast==0.67.0
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import contextlib
import io
import sys
from datetime import timedelta
from pathlib import Path

import feast
import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.repo_config import RepoConfig
from feast.types import Int64

print("feast", feast.__version__)
now = pd.Timestamp.now("UTC").floor("s")
times = [now - pd.Timedelta(hours=ago) for ago in (3, 2, 1)]
pd.DataFrame({"no": [1, 2, 3], "trips": [10, 20, 30], "event_timestamp": times}).to_parquet("rows.parquet")


def asked(name, **value_type):
    """(key columns, historical answer, online answer) for the keys 1, 2, 3."""
    config = RepoConfig(
        project="p", provider="local", registry=f"{name}.db", repo_path=Path.cwd(), entity_key_serialization_version=3,
        online_store={"type": "sqlite", "path": f"{name}-online.db"},
    )
    store = FeatureStore(config=config)
    driver = Entity(name="driver", join_keys=["driver_id"], **value_type)
    rows = FileSource(path="rows.parquet", timestamp_field="event_timestamp", field_mapping={"no": "driver_id"})
    view = FeatureView(
        name="stats", entities=[driver], source=rows, ttl=timedelta(days=1), schema=[Field(name="trips", dtype=Int64)]
    )
    with contextlib.redirect_stdout(io.StringIO()):
        store.apply([driver, view])
        store.materialize(now - pd.Timedelta(days=1), now)
    frame = pd.DataFrame({"driver_id": [1, 2, 3], "event_timestamp": [now] * 3})
    history = store.get_historical_features(frame, ["stats:trips"]).to_df()
    online = store.get_online_features(["stats:trips"], [{"driver_id": key} for key in (1, 2, 3)]).to_dict()
    keys = [column.name for column in store.get_feature_view("stats").entity_columns]
    return keys, sorted(zip(history["driver_id"], history["trips"])), online["trips"]


right, lost = asked("typed", value_type=ValueType.INT64), asked("untyped")
for title, (keys, history, online) in {"value_type given": right, "left out": lost}.items():
    print(f"{title}: key columns {keys}; historical (key, trips) {[tuple(map(int, row)) for row in history]}; online {online}")
as_it_should = right == (["driver_id"], [(1, 10), (2, 20), (3, 30)], [10, 20, 30])
sys.exit(0 if as_it_should and lost == ([], [(3, 30)], [None, None, None]) else 1)
PYTHON
echo "as described: the view was registered without its key, and nothing said so"
