"""The features that joins and materialization are measured on, as Feast objects: one key, three features."""

from __future__ import annotations

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.data_format import ParquetFormat
from feast.types import Float32, Int64

SERVICE = "items"


def definitions(features: str) -> list[Entity | FeatureView | FeatureService]:
    """What a feature repo would define over the Parquet file `features`."""
    item = Entity(name="item", join_keys=["item_id"], value_type=ValueType.INT64)
    view = FeatureView(
        name="item_stats",
        entities=[item],
        schema=[
            Field(name="item_id", dtype=Int64),
            Field(name="rate_a", dtype=Float32),
            Field(name="rate_b", dtype=Float32),
            Field(name="tally", dtype=Int64),
        ],
        source=FileSource(
            name="item_stats_source",
            path=features,
            file_format=ParquetFormat(),
            timestamp_field="event_timestamp",
            created_timestamp_column="created",
        ),
        ttl=timedelta(days=14),
        online=True,
    )
    return [item, view, FeatureService(name=SERVICE, features=[view])]
