"""Another project: bakeries with a string key, two feature views, a revenue to predict."""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.types import Bool, Float32, Float64, Int32, String

from twinserve.features.sources import offline_source

bakery = Entity(name="bakery", join_keys=["bakery_code"], value_type=ValueType.STRING)

visits = FeatureView(
    name="visits",
    entities=[bakery],
    schema=[
        Field(name="bakery_code", dtype=String),
        Field(name="guests", dtype=Int32),
        Field(name="regulars", dtype=Float64),
    ],
    source=offline_source("visits"),
    ttl=timedelta(days=3),
)

weather = FeatureView(
    name="weather",
    entities=[bakery],
    schema=[
        Field(name="bakery_code", dtype=String),
        Field(name="celsius", dtype=Float32),
        Field(name="rain", dtype=Bool),
    ],
    source=offline_source("weather", timestamp="measured_at", created=None),
    ttl=timedelta(hours=12),
)

revenue_tomorrow = FeatureService(name="revenue_tomorrow", features=[visits, weather])
