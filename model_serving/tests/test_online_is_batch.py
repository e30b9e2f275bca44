"""The twins agree: what is answered online is what a batch run writes, while features are replaced under both."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from batch_run import Batch
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from meanwhile import meanwhile
from right_answers import RightAnswers
from serving_worlds import NOW, write_view
from stage import Stage
from waiting import until

from twinserve.features.materialization.materialize import materialize

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("chaos")]
KEYS = list(range(50_000, 51_000))
SIZES = (1, 2, 5, 100, 1000)
VERSIONS = 4


def moment(version: int) -> pd.Timestamp:
    return pd.Timestamp(NOW) - pd.Timedelta(timedelta(minutes=30 - version))


def rows(version: int) -> pd.DataFrame:
    """A row of each key; some have a null."""
    chance = np.random.default_rng(version)
    rates = np.where(chance.random(len(KEYS)) < 0.1, np.nan, chance.random(len(KEYS)))
    made = pd.DataFrame({"driver_id": KEYS, "conv_rate": rates.astype("float32")})
    made["trips"], made["night"] = chance.integers(0, 100, len(KEYS)), chance.random(len(KEYS)) > 0.5
    return made.assign(event_timestamp=moment(version), created=moment(version))


@pytest.fixture(scope="module")
def right(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> RightAnswers:
    """Of every version of every key, what a batch run says of it; the first version is in Redis."""
    known: dict[int, set[float | str]] = {key: set() for key in KEYS}
    for version in range(VERSIONS):
        source = tmp_path_factory.mktemp("twins") / "entities.parquet"
        entities = pd.DataFrame({"driver_id": KEYS, "event_timestamp": moment(version) + pd.Timedelta("1s")})
        entities.to_parquet(source, index=False)
        write_view(stage.world.settings, "driver_stats", rows(version), f"twins-{version}")
        batch = Batch(stage.world, f"twins-{version}")
        batch.all(source)
        for row in batch.table.to_pylist():
            known[row["driver_id"]].add(row["reason"] if row["prediction"] is None else row["prediction"])
        if version == 0:
            materialize(stage.world.settings, stage.redis.url)
    return RightAnswers(known)


@contextmanager
def replaced_meanwhile(stage: Stage) -> Iterator[list[int]]:
    """Later versions are materialized for the length of the block: the last one first seen, then rows of keys anew.

    Yields:
        The versions that have arrived.
    """
    arrived = list[int]()

    def publish(over: threading.Event) -> None:
        number = VERSIONS - 1
        while not over.is_set():
            materialize(stage.world.settings, stage.redis.url)
            arrived.append(number)
            number += 1
            later = rows(number % VERSIONS).assign(event_timestamp=moment(number), created=moment(number))
            write_view(stage.world.settings, "driver_stats", later, f"twins-{number}")

    with meanwhile(publish):
        yield arrived


def test_online_answers_are_those_of_batch(stage: Stage, right: RightAnswers) -> None:
    @hypothesis_settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow], database=None)
    @given(st.sampled_from(SIZES), st.randoms(use_true_random=False))
    def agree(size: int, chance: random.Random) -> None:
        asked = chance.sample(KEYS, size)
        answer = stage.server.ask({"request_id": "twin", "driver_ids": asked}).json()
        assert right.objection(asked, answer) == ""
        assert answer["error"] is None or answer["error"]["code"] == "no_candidate"

    with replaced_meanwhile(stage) as arrived:

        def agreed_on_all() -> bool:
            agree()
            return len(arrived) >= VERSIONS

        until("every version has come", agreed_on_all)
