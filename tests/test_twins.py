"""The sentence that everything serves: batch and online, one model, the same features, the same answer."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from platform_under_test import Platform

from twinserve.contract import Contract
from twinserve.embedded.redis import leased_redis
from twinserve.features.online import open_reader
from twinserve.registry import Registry
from twinserve.settings import Settings, load_settings

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("example")]
KEY = "driver_id"
COLUMNS = ["conv_rate", "acc_rate", "avg_daily_trips"]


@pytest.fixture(scope="module")
def settings(example: Platform) -> Settings:
    return load_settings(
        home=example.home,
        feature_repo=Path(example.environment["TWINSERVE_FEATURE_REPO"]),
        training_params=Path(example.environment["TWINSERVE_TRAINING_PARAMS"]),
    )


@pytest.fixture(scope="module")
def contract(settings: Settings) -> Contract:
    return Registry(settings).load_champion().contract


@pytest.fixture(scope="module")
def asked(example: Platform) -> pd.DataFrame:
    """Every key once, all at this moment, and a few that nobody knows."""
    keys = [*range(1001, 11001), 7, -1, 2**62]
    return pd.DataFrame({"event_timestamp": datetime.now(UTC).isoformat(), KEY: keys})


@pytest.fixture(scope="module")
def scored(example: Platform, asked: pd.DataFrame) -> dict[str, Any]:
    file = example.home / "everyone.csv"
    asked.to_csv(file, index=False)
    return example.score("everyone", file)


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file in a folder."""
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


async def online_values(settings: Settings, contract: Contract, keys: list[int]) -> np.ndarray:
    with leased_redis(settings) as url:
        reader = open_reader(contract, settings, url, seconds=30)
        try:
            return (await reader.read({KEY: keys}, time.time_ns() // 1000)).values
        finally:
            await reader.close()


async def test_batch_and_online_read_the_same_bits(
    settings: Settings, contract: Contract, asked: pd.DataFrame, scored: dict[str, Any]
) -> None:
    online = await online_values(settings, contract, asked[KEY].tolist())
    batch = pd.read_parquet(scored["features"])[COLUMNS].to_numpy(dtype=np.float64, na_value=np.nan)
    assert np.isfinite(online).all(axis=1).sum() >= 9_900
    np.testing.assert_array_equal(online.view(np.int64)[np.isfinite(online)], batch.view(np.int64)[np.isfinite(online)])
    np.testing.assert_array_equal(np.isnan(online), np.isnan(batch))


async def test_training_reads_what_batch_and_online_read(
    example: Platform, settings: Settings, contract: Contract, asked: pd.DataFrame, scored: dict[str, Any]
) -> None:
    labels = example.home / "labels.csv"
    asked.assign(trip_completed=np.arange(len(asked)) % 2).to_csv(labels, index=False)
    example.run("training-pipeline", "feature-store-init", "--run-key", "same")
    extracted = example.run("training-pipeline", "data-extraction", "--run-key", "same", "--labels", str(labels))
    training = pd.read_parquet(extracted["features"])[COLUMNS].to_numpy(dtype=np.float64, na_value=np.nan)
    batch = pd.read_parquet(scored["features"])[COLUMNS].to_numpy(dtype=np.float64, na_value=np.nan)
    np.testing.assert_array_equal(training, batch)
    np.testing.assert_array_equal(training, await online_values(settings, contract, asked[KEY].tolist()))


def test_batch_and_online_answer_alike(
    example: Platform, contract: Contract, asked: pd.DataFrame, scored: dict[str, Any]
) -> None:
    batch = pd.read_parquet(scored["output"])
    assert batch[KEY].tolist() == asked[KEY].tolist(), "one row per row, in order"
    with example.serving() as client:
        answers = asyncio.run(ask_each(str(client.base_url), asked[KEY].tolist()))
    for key, score, reason, answer in zip(batch[KEY], batch["prediction"], batch["reason"], answers, strict=True):
        if reason is not None:
            assert (answer["prediction"], answer["left_out"][0]["reason"]) == (None, reason)
        else:
            assert answer["prediction"] == key
            assert contract.tolerance.allows(answer["score"], score)
    assert batch["prediction"].notna().sum() >= 9_900
    exact = [a["score"] == p for a, p in zip(answers, batch["prediction"], strict=True) if pd.notna(p)]
    assert all(exact), "the default model's trees sum in one order, whatever the number of rows: bit for bit"


async def ask_each(url: str, keys: list[int]) -> list[dict[str, Any]]:
    """One request per key, some at a time."""
    gate = asyncio.Semaphore(16)
    async with httpx.AsyncClient(base_url=url, timeout=30, limits=httpx.Limits(max_connections=16)) as client:

        async def ask(key: int) -> dict[str, Any]:
            async with gate:
                answer = await client.post("/inference", json={"request_id": str(key), f"{KEY}s": [key]})
            body: dict[str, Any] = answer.json()
            return body

        return await asyncio.gather(*(ask(key) for key in keys))


def test_the_best_of_many_is_the_best_in_batch(example: Platform, scored: dict[str, Any]) -> None:
    batch = pd.read_parquet(scored["output"]).dropna(subset="prediction").head(1000)
    with example.serving() as client:
        answer = client.post("/inference", json={"request_id": "1", f"{KEY}s": batch[KEY].tolist()}).json()
    best = batch.sort_values("prediction", ascending=False, kind="stable").iloc[0]
    assert (answer["prediction"], answer["score"]) == (best[KEY], best["prediction"])


def test_the_same_run_key_gives_the_same_bytes(example: Platform, scored: dict[str, Any]) -> None:
    output = Path(scored["output"])
    before = digests(output)
    example.score("everyone", example.home / "everyone.csv")
    assert digests(output) == before
    shutil.rmtree(output)
    example.score("everyone", example.home / "everyone.csv")
    assert digests(output) == before, "made anew, it has the same bytes too"
