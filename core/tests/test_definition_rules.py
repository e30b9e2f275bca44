"""What Feast's definitions may say: honoured everywhere, or refused by name when they are applied, and when served."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import pytest
from feast import BatchFeatureView, Entity, FeatureService, FeatureView, Field, FileSource
from feast.feature_view_projection import FeatureViewProjection

from twinserve.errors import BadInput, StepMissing
from twinserve.features.feast_repo.definition_rules import collisions
from twinserve.features.feast_repo.service import describe_service
from twinserve.features.feast_repo.store import apply_definitions, open_store
from twinserve.features.feast_repo.views import Column, DeclaredView
from twinserve.features.materialization.materialize import materialize
from twinserve.features.redis.layout import feature_field, shared_fields
from twinserve.settings import Settings

pytestmark = pytest.mark.integration
DEFINITIONS = """\
from datetime import timedelta
import pandas as pd
from feast import (BatchFeatureView, Entity, FeatureService, FeatureView, Field, FileSource, KafkaSource, Project,
    StreamFeatureView, ValueType)
from feast.aggregation import Aggregation
from feast.credentials import ConnectionRef
from feast.data_format import DeltaFormat, JsonFormat
from feast.labeling.label_view import LabelView
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float32, Float64, Int64, String
from twinserve.features.sources import offline_source

store = Entity(name="store", join_keys=["store_id"], value_type=ValueType.INT64)
SCHEMA = [Field(name="store_id", dtype=Int64), Field(name="revenue", dtype=Float32), Field(name="visits", dtype=Int64)]
rows = offline_source("sales")
topic = KafkaSource(name="topic", timestamp_field="event_timestamp", batch_source=rows, topic="t",
    message_format=JsonFormat(schema_json="x string"), kafka_bootstrap_servers="localhost:1")
def view(name="sales", kind=FeatureView, **changes):
    usual = dict(entities=[store], ttl=timedelta(days=2), source=rows, schema=SCHEMA, online=True)
    return kind(name=name, **usual | changes)
def file(**options):
    return FileSource(name="f", path="/data/f", timestamp_field="event_timestamp", **options)
sales = view()
"""
ON_DEMAND = """
@on_demand_feature_view(sources=[sales], schema=[Field(name="twice", dtype=Float64)]{more})
def doubled(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({{"twice": frame["revenue"] * 2.0}})
"""
SERVICE = 'service = FeatureService(name="ranking", features=[sales])\n'
REFUSED = {
    "sales = view(online=False)\n" + SERVICE: r"reads sales, which has online=False.*every key would be unknown",
    "sales = view(enabled=False)\n" + SERVICE: r"ranking reads sales, which has enabled=False",
    'service = FeatureService(name="ranking", features=[sales], precompute_online=True)': r"has precompute_online",
    ON_DEMAND.format(more="") + 'service = FeatureService(name="ranking", features=[sales, doubled])': (
        r"ranking reads doubled, which is an on-demand feature view: these are not supported"
    ),
    ON_DEMAND.format(more="") + 'service = FeatureService(name="ranking", features=["doubled:twice"])': (
        r"ranking reads doubled, which is an on-demand"
    ),
    ON_DEMAND.format(more=", write_to_online_store=True"): r"doubled has write_to_online_store=True",
    'stream = view("live", StreamFeatureView, source=topic, timestamp_field="event_timestamp")\n'
    'service = FeatureService(name="ranking", features=[stream])': r"live is a stream feature view.*ranking reads live",
    'live = view("live", source=topic)': r"live reads the stream topic",
    'label = LabelView(name="said", source=rows, entities=[store], schema=SCHEMA)\n'
    'service = FeatureService(name="ranking", features=[label])': r"said is a label view.*ranking reads said",
    'agg = view("agg", BatchFeatureView, aggregations=[Aggregation(column="visits", function="sum",'
    " time_window=timedelta(days=1))])": r"feature view agg has a transformation",
    'udf = view("udf", BatchFeatureView, mode="pandas", udf=lambda frame: frame)': r"udf has a transformation",
    'derived = view("derived", source=[sales], sink_source=rows)': r"derived has a transformation",
    'none = view("none", source=None)': r"feature view none has no source",
    'old = view("old", version="v2")': r"old is pinned to version v2",
    'service = FeatureService(name="ranking", features=["sales@v1"])': r"reads sales, pinned to version 1",
    'service = FeatureService(name="ranking", features=["nowhere:x"])': r"reads nowhere, which no file",
    'service = FeatureService(name="ranking", features=[view("inner")])': r"reads inner, which no file",
    'short = view("short", ttl=timedelta(seconds=1.5))': r"TTL of feature view short is 0:00:01.5.*whole seconds",
    'past = view("past", ttl=timedelta(seconds=-1))': r"TTL of feature view past is -1 day",
    'ever = view("ever", ttl=timedelta.max)': r"TTL of feature view ever is 999999999 days.*ten thousand years",
    'two = view("two", schema=[*SCHEMA, Field(name="visits", dtype=Float32)])': r"feature view two lists visits twice",
    'marked = view("marked", schema=[*SCHEMA, Field(name="twinserve_deleted", dtype=Int64)])': (
        r"feature view marked has a column twinserve_deleted, the name by which"
    ),
    'marked = view("marked", source=offline_source("x", field_mapping={"twinserve_deleted": "visits"}))': (
        r"feature view marked has a column twinserve_deleted"
    ),
    'flag = Entity(name="flag", value_type=ValueType.BOOL)\n'
    'odd = view("odd", entities=[flag], schema=SCHEMA[1:])': r"join key flag of feature view odd is BOOL",
    'other = Entity(name="store", join_keys=["id"], value_type=ValueType.INT64)': r"entity store is defined twice",
    'project = Project(name="elsewhere")': r"project elsewhere is not shop",
    'far = view("far", source=file(s3_endpoint_override="http://x"))': r"far, has s3_endpoint_override",
    'kept = view("kept", source=file(connection_ref=ConnectionRef(provider="vault", name="n")))': (
        r"kept, has connection_ref"
    ),
    'delta = view("delta", source=file(file_format=DeltaFormat()))': r"delta, is not Parquet files",
    'bucket = view("bucket", source=FileSource(name="s3", path="s3://b/x", timestamp_field="t"))': r"s3, the source of",
    'twice = view("twice", source=offline_source("x", field_mapping={"a": "revenue", "b": "revenue"}))': (
        r"field_mapping of feature view twice's source maps a and b to revenue"
    ),
    'timeless = view("timeless", source=FileSource(name="f", path="x"))': r"f of feature view timeless has no time",
    'service = FeatureService(name="ranking", features=[sales.with_join_key_map({"nope": "x"})])': r"maps nope",
    'town = Entity(name="town", value_type=ValueType.INT64)\nsales = view(entities=[store, town])\n'
    'service = FeatureService(name="ranking", features=[sales.with_join_key_map({"town": "store_id"})])': (
        r"sales, and maps two of its join keys to one name"
    ),
    'service = FeatureService(name="ranking", features=[sales, sales[["visits"]]])': r"lists sales:visits twice",
    'shop = Entity(name="shop", join_keys=["code"], value_type=ValueType.STRING)\n'
    'towns = view("towns", entities=[shop], schema=[Field(name="size", dtype=Int64)])\n'
    'service = FeatureService(name="ranking", features=[sales, towns.with_join_key_map({"code": "store_id"})])': (
        r"ranking has the join key store_id as INT64 and as STRING"
    ),
    'wide = view("wide", schema=[Field(name=n, dtype=Int64) for n in ("amount_23926d", "amount_152637d")])': (
        None  # other names with another view: no collision
    ),
    'sales = view(schema=[Field(name=n, dtype=Int64) for n in ("amount_23926d", "amount_152637d")])': (
        r"features sales:amount_23926d and sales:amount_152637d have one field in Redis"
    ),
    'sales = view(schema=[Field(name="amount_61272d", dtype=Int64)])\n'
    'visits = view("visits", schema=[Field(name="amount_84715d", dtype=Int64)])': (
        r"features sales:amount_61272d and visits:amount_84715d have one field in Redis"
    ),
    'town = Entity(name="town", value_type=ValueType.INT64)\n'
    'sales = view(schema=[Field(name="amount_61272d", dtype=Int64)])\n'
    'visits = view("visits", entities=[town], schema=[Field(name="amount_84715d", dtype=Int64)])': None,
}  # fmt: skip


@pytest.mark.parametrize("definitions", REFUSED)
def test_what_is_not_done_is_refused_by_name_and_nothing_is_applied(
    settings: Settings, feature_repo: Callable[..., Path], redis_url: str, definitions: str
) -> None:
    feature_repo(definitions=DEFINITIONS + definitions)
    says = REFUSED[definitions]
    if says is None:
        assert apply_definitions(settings, redis_url)["feature_views"]
        return
    with pytest.raises(BadInput, match=says):
        apply_definitions(settings, redis_url)
    assert not (settings.home / "feast" / "registry.db").exists()


def test_all_that_is_wrong_is_said_at_once(
    settings: Settings, feature_repo: Callable[..., Path], redis_url: str
) -> None:
    feature_repo(definitions=DEFINITIONS + 'a = view("a", version="v2")\nb = view("b", source=None)')
    with pytest.raises(BadInput, match=r"b has no source; feature view a is pinned"):
        apply_definitions(settings, redis_url)


def test_what_feast_refuses_is_one_line_too(
    settings: Settings, feature_repo: Callable[..., Path], redis_url: str
) -> None:
    feature_repo(definitions=DEFINITIONS + 'same = view("SALES")')
    with pytest.raises(BadInput, match=r"Feast does not take the definitions in .*ConflictingFeatureViewNames: "):
        apply_definitions(settings, redis_url)


REGISTERED = {
    "sales = view(online=False)\n" + SERVICE: r"which has online=False",
    'service = FeatureService(name="ranking", features=[sales], precompute_online=True)': r"has precompute_online=True",
    ON_DEMAND.format(more="") + 'service = FeatureService(name="ranking", features=[doubled])': r"which is an on-dem",
    'stream = view("live", StreamFeatureView, source=topic, timestamp_field="event_timestamp")\n'
    'service = FeatureService(name="ranking", features=[stream])': r"live, which is a stream feature view",
    'label = LabelView(name="said", source=rows, entities=[store], schema=SCHEMA)\n'
    'service = FeatureService(name="ranking", features=[label])': r"said, which is a label view",
    'service = FeatureService(name="ranking", features=[sales, sales[["visits"]]])': r"lists sales:visits twice",
}  # fmt: skip


@pytest.mark.parametrize("definitions", REGISTERED)
def test_a_service_that_feasts_own_command_applied_is_refused_where_it_is_described(
    settings: Settings,
    feature_repo: Callable[..., Path],
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    definitions: str,
) -> None:
    feature_repo(definitions=DEFINITIONS + definitions)
    monkeypatch.setattr(
        "twinserve.features.feast_repo.definition_rules.refuse_unsupported", lambda *_: None
    )  # as `feast apply`
    apply_definitions(settings, redis_url)
    with pytest.raises(BadInput, match=REGISTERED[definitions]):
        describe_service(open_store(settings, redis_url), "ranking")


def test_a_service_without_one_of_its_views_says_which(
    settings: Settings, feature_repo: Callable[..., Path], redis_url: str
) -> None:
    feature_repo(definitions=DEFINITIONS + SERVICE)
    apply_definitions(settings, redis_url)
    store = open_store(settings, redis_url)
    store.registry.delete_feature_view("sales", "shop")
    with pytest.raises(StepMissing, match=r"'ranking' reads what is not in the registry: .*sales"):
        describe_service(store, "ranking")


def test_what_is_not_online_is_no_missing_apply(
    settings: Settings, feature_repo: Callable[..., Path], redis_url: str
) -> None:
    feature_repo(definitions=DEFINITIONS + 'sales = view(online=False)\nrest = view("rest", enabled=False)')
    apply_definitions(settings, redis_url)
    assert materialize(settings, redis_url) == []


def test_a_time_column_that_the_schema_lists_is_no_feature(
    settings: Settings, feature_repo: Callable[..., Path], redis_url: str
) -> None:
    listed = "[*SCHEMA, Field(name='created', dtype=Int64), Field(name='event_timestamp', dtype=Int64)]"
    chosen = 'service = FeatureService(name="ranking", features=[sales[["visits"]]])'
    feature_repo(definitions=DEFINITIONS + f"sales = view(schema={listed})\n{chosen}")
    apply_definitions(settings, redis_url)
    (feature,) = describe_service(open_store(settings, redis_url), "ranking").features
    assert feature.name == "visits"
    feature_repo(definitions=DEFINITIONS + f"sales = view(schema={listed})\n{SERVICE}")
    with pytest.raises(BadInput, match="ranking reads sales, of which created, event_timestamp is no feature"):
        apply_definitions(settings, redis_url)


def test_two_names_of_one_hash_are_found() -> None:
    one, other = ("sales", "amount_23926d"), ("sales", "amount_152637d")
    assert feature_field(*one) == feature_field(*other)
    assert shared_fields([one, ("sales", "x"), one, other]) == [("sales:amount_23926d", "sales:amount_152637d")]
    column = Column("k", "k", "INT64", None)
    features = tuple(Column(name, name, "INT64", None) for _, name in (one, other))
    view = DeclaredView("sales", (column,), features, "t", None, None, online=True)
    assert len(collisions([view])) == 1
    assert collisions([DeclaredView("sales", (column,), features, "t", None, None, online=False)]) == []


NOTES = {"description", "tags", "owner", "org"}
HONOURED = {
    Entity: {"name", "join_keys", "value_type"},
    Field: {"name", "dtype"},
    FeatureView: {"name", "source", "schema", "entities", "ttl", "online", "enabled"},
    BatchFeatureView: {"name", "source", "schema", "entities", "ttl", "online"},
    FileSource: {"path", "name", "created_timestamp_column", "file_format", "field_mapping", "timestamp_field"},
    FeatureService: {"name", "features", "logging_config"},
    FeatureViewProjection: {"name", "name_alias", "features", "desired_features", "join_key_map"},
}
# views with these are written by Feast's own engine, as Feast does it
BY_FEAST = {
    Field: {"vector_index", "vector_length", "vector_search_metric"},
    FeatureView: {"offline", "enable_validation"},
    BatchFeatureView: {"offline", "enable_validation", "batch_engine"},
}
TRANSFORMS = {"mode", "udf", "udf_string", "feature_transformation", "aggregations", "sink_source", "version"}
REFUSED_OR_TIED_TO_IT = {
    FeatureView: TRANSFORMS,
    BatchFeatureView: TRANSFORMS,
    # Feast ignores `event_timestamp_column`: what names no other is refused for its missing `timestamp_field`
    FileSource: {"s3_endpoint_override", "connection_ref", "event_timestamp_column"},
    FeatureService: {"precompute_online"},
    # of the view's source, copied by Feast; its kind
    FeatureViewProjection: {
        *("version_tag", "timestamp_field", "date_partition_column", "created_timestamp_column", "batch_source"),
        "view_type",
    },
}


@pytest.mark.parametrize("kind", HONOURED)
def test_every_argument_of_feasts_definitions_is_accounted_for(kind: type) -> None:
    arguments = set(inspect.signature(kind).parameters) - NOTES
    known: set[str] = HONOURED[kind] | BY_FEAST.get(kind, set()) | REFUSED_OR_TIED_TO_IT.get(kind, set())
    assert arguments - known == set(), "a new version of Feast: decide what is done with these"
