"""What Feast's registry holds, asked without Feast: it changes with the definitions, and with nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from twinserve.contract import Contract
from twinserve.features.feast_repo.registry_state import (
    PROJECTION_WITHOUT,
    PROJECTIONS,
    SPEC,
    VIEW_WITHOUT,
    registry_state,
)
from twinserve.features.feast_repo.store import apply_definitions
from twinserve.features.materialization.materialize import materialize
from twinserve.settings import Settings

pytestmark = pytest.mark.integration
DEFINITIONS = """
from datetime import timedelta
from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.types import Float32, Int64
from twinserve.features.sources import offline_source

store = Entity(name="store", join_keys=["store_id"], value_type=ValueType.INT64)
sales = FeatureView(
    name="sales", entities=[store], ttl={ttl}, source=offline_source("sales"),
    schema=[Field(name="store_id", dtype=Int64), Field(name="revenue", dtype=Float32)],
)
service = FeatureService(name="ranking", features=[sales])
"""


def test_it_changes_with_definitions_and_contract_and_not_with_what_is_done(
    settings: Settings,
    redis_url: str,
    feature_repo: Callable[..., Path],
    write_sales: Callable[[pd.DataFrame], Path],
    build: Callable[..., Contract],
) -> None:
    contract = build()
    feature_repo()
    assert registry_state(settings, contract) is None, "there is no registry yet"
    apply_definitions(settings, redis_url)
    first = registry_state(settings, contract)
    assert first is not None

    now = pd.Timestamp.now("UTC").floor("h")
    rows = pd.DataFrame({"store_id": [1], "revenue": [1.0], "event_timestamp": [now], "created": [now]})
    write_sales(rows.astype({"revenue": "float32"}))
    materialize(settings, redis_url)
    apply_definitions(settings, redis_url)
    assert registry_state(settings, contract) == first

    assert registry_state(settings, build(feature_service="other")) != first
    feature_repo(ttl=timedelta(days=3))
    apply_definitions(settings, redis_url)
    assert registry_state(settings, contract) not in (None, first)


def test_a_registry_that_is_no_database_is_not_known(
    settings: Settings, feature_repo: Callable[..., Path], build: Callable[..., Contract]
) -> None:
    folder = feature_repo()
    file = folder / "feature_store.yaml"
    file.write_text(file.read_text().replace("registry_type: sql", "registry_type: file"))
    assert registry_state(settings, build()) is None


def test_the_numbers_of_the_fields_are_feasts() -> None:
    from feast.protos.feast.core.FeatureService_pb2 import FeatureService, FeatureServiceSpec
    from feast.protos.feast.core.FeatureView_pb2 import FeatureView, FeatureViewSpec
    from feast.protos.feast.core.FeatureViewProjection_pb2 import FeatureViewProjection

    def numbers(message: Any, *names: str) -> set[int]:
        return {message.DESCRIPTOR.fields_by_name[name].number for name in names}

    assert numbers(FeatureView, "spec") == numbers(FeatureService, "spec") == {SPEC}
    assert numbers(FeatureServiceSpec, "features") == {PROJECTIONS}
    assert numbers(FeatureViewSpec, "project", "batch_source", "stream_source") == VIEW_WITHOUT
    assert numbers(FeatureViewProjection, "batch_source", "stream_source") == PROJECTION_WITHOUT


def test_asking_imports_no_feast() -> None:
    code = "import sys, twinserve.features.feast_repo.registry_state, sqlalchemy; sys.exit('feast' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
