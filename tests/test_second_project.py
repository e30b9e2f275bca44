"""Swapping the example: another feature repo and another params.yaml, and not a line of code."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from platform_under_test import ROOT, Platform

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("bakeries")]
PROJECT = ROOT / "tests" / "second_project"
NOW = datetime.now(UTC).replace(microsecond=0)
CODES = [f"b-{number:02d}" for number in range(40)]


@pytest.fixture(scope="module")
def bakeries(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    home = tmp_path_factory.mktemp("bakeries")
    platform = Platform(
        home,
        TWINSERVE_FEATURE_REPO=str(PROJECT / "feature_repo"),
        TWINSERVE_TRAINING_PARAMS=str(PROJECT / "params.yaml"),
        TWINSERVE_MODEL_NAME="revenue",
    )
    write_source(home / "source" / "source.db")
    platform.to_offline_store("first")
    platform.run("data-pipeline", "apply")
    platform.run("data-pipeline", "materialize")
    return platform


@pytest.fixture(scope="module")
def champion(bakeries: Platform) -> dict[str, Any]:
    return bakeries.train("first")


def write_source(file: Path) -> None:
    """Thirty days of guests and weather; revenue follows from both as they stood at the moment."""
    rng = np.random.default_rng(4)
    file.parent.mkdir(parents=True)
    days = pd.date_range(NOW - timedelta(days=30), NOW - timedelta(hours=2), freq="D")
    visits = pd.MultiIndex.from_product([CODES, days], names=["bakery_code", "day"]).to_frame(index=False)
    visits["guests"] = rng.integers(20, 400, len(visits))
    visits["regulars"] = rng.random(len(visits)).round(3)
    visits["created"] = visits["day"] + timedelta(minutes=20)
    hours = pd.date_range(NOW - timedelta(days=30), NOW - timedelta(hours=1), freq="6h")
    weather = pd.MultiIndex.from_product([CODES, hours], names=["bakery_code", "measured_at"]).to_frame(index=False)
    weather["celsius"] = rng.normal(12, 8, len(weather)).clip(-30, 45)
    weather.loc[rng.random(len(weather)) < 0.02, "celsius"] = None
    weather["rain"] = rng.random(len(weather)) < 0.3
    moments = NOW - pd.to_timedelta(rng.uniform(3, 24 * 28, 1500), unit="h")
    takings = pd.DataFrame({"event_timestamp": moments.sort_values(), "bakery_code": rng.choice(CODES, 1500)})
    known = pd.merge_asof(
        takings, visits.sort_values("day"), left_on="event_timestamp", right_on="day", by="bakery_code"
    )
    takings["revenue"] = (known["guests"] * (3 + 2 * known["regulars"]) + rng.normal(0, 40, 1500)).fillna(0)
    with sqlite3.connect(file) as connection:
        for name, rows in {"daily_visits": visits, "stations": weather, "takings": takings}.items():
            times = rows.select_dtypes("datetimetz").columns
            rows.assign(**{c: rows[c].dt.strftime("%Y-%m-%d %H:%M:%S+00:00") for c in times}).to_sql(
                name, connection, index=False
            )
    connection.close()


def test_a_regression_is_trained_and_promoted(champion: dict[str, Any]) -> None:
    assert champion["version"] == "1"


def test_batch_and_online_answer_alike(bakeries: Platform, champion: dict[str, Any]) -> None:
    file = bakeries.home / "tomorrow.csv"
    keys = [*CODES, "nobody", CODES[0]]
    pd.DataFrame({"bakery_code": keys, "event_timestamp": datetime.now(UTC).isoformat(), "note": "x"}).to_csv(
        file, index=False
    )
    batch = pd.read_parquet(bakeries.score("tomorrow", file)["output"])
    assert batch["bakery_code"].tolist() == keys
    assert batch["note"].eq("x").all()
    assert batch["reason"].dropna().tolist() == ["unknown"]
    with bakeries.serving() as client:
        answer = client.post("/inference", json={"request_id": "r", "bakery_codes": keys}).json()
        each = [client.post("/inference", json={"request_id": "r", "bakery_codes": [key]}).json() for key in CODES]
    best = batch.sort_values("prediction", ascending=False, kind="stable").iloc[0]
    assert answer["prediction"] == best["bakery_code"]
    assert answer["left_out"] == [{"id": "nobody", "reason": "unknown"}]
    assert answer["model"] == {"name": "revenue", "version": "1"}
    assert [a["score"] for a in each] == batch["prediction"].tolist()[: len(CODES)]
