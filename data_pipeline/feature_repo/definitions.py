"""The features of the example: a driver's hourly statistics, and the set that the ranking model reads."""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.types import Float32, Int64

from twinserve.features.sources import offline_source

driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)

driver_stats = FeatureView(
    name="driver_stats",
    entities=[driver],
    schema=[
        Field(name="driver_id", dtype=Int64),
        Field(name="conv_rate", dtype=Float32, description="completed trips / assigned trips"),
        Field(name="acc_rate", dtype=Float32, description="accepted trips / offered trips"),
        Field(name="avg_daily_trips", dtype=Int64, description="trips a day, averaged over recent days"),
    ],
    source=offline_source("driver_stats"),
    # a driver may rest for two weeks, and the last known rates still say something
    ttl=timedelta(days=14),
    online=True,
)

driver_ranking = FeatureService(name="driver_ranking", features=[driver_stats])
