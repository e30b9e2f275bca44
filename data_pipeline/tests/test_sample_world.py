from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from data_pipeline.sample_world.dirt import soil
from data_pipeline.sample_world.generate import generate
from data_pipeline.sample_world.parameters import WorldParameters, world_end
from data_pipeline.sample_world.requests import batch_request
from data_pipeline.sample_world.simulation import WEIGHTS, _draw_orders, simulate
from data_pipeline.sample_world.targets import target_for
from twinserve.errors import BadInput
from twinserve.values.databases import parse_url

END = datetime(2026, 3, 1, tzinfo=UTC)
FEATURES = ["conv_rate", "acc_rate", "avg_daily_trips"]


def world(**changes: Any) -> WorldParameters:
    chosen: dict[str, Any] = {"drivers": 20, "days": 3, "orders": 200, "seed": 7, "dirt": 0.01, "end": END} | changes
    return WorldParameters(**chosen)


def write(params: WorldParameters, folder: Path, **options: Any) -> dict[str, Any]:
    target = target_for(parse_url(f"sqlite:///{folder / 'source.db'}"))
    return generate(params, target, folder / "request.csv", **{"end_given": True, "ingested": False} | options)


def tables(params: WorldParameters) -> tuple[pd.DataFrame, pd.DataFrame]:
    days = list(simulate(params))
    return (
        pa.concat_tables([day.stats for day in days]).to_pandas(),
        pa.concat_tables([day.orders for day in days]).to_pandas(),
    )


def joined(stats: pd.DataFrame, orders: pd.DataFrame, leak: timedelta = timedelta(0)) -> pd.DataFrame:
    """Each order with the last statistics of its moment, or of `leak` later."""
    known = stats.assign(event_timestamp=(stats["event_timestamp"] - leak).astype(orders["event_timestamp"].dtype))
    return pd.merge_asof(orders, known.sort_values("event_timestamp"), on="event_timestamp", by="driver_id").dropna()


def auc(rows: pd.DataFrame) -> float:
    cut = int(len(rows) * 0.75)
    model = HistGradientBoostingClassifier(random_state=0).fit(rows[FEATURES][:cut], rows["trip_completed"][:cut])
    return float(roc_auc_score(rows["trip_completed"][cut:], model.predict_proba(rows[FEATURES][cut:])[:, 1]))


@pytest.mark.parametrize("seed", [7, 8])
def test_the_signal_is_learnable_and_a_leak_of_the_next_hour_shows(seed: int) -> None:
    stats, orders = tables(world(drivers=200, days=30, orders=5000, seed=seed, dirt=0))
    honest, leaking = auc(joined(stats, orders)), auc(joined(stats, orders, timedelta(hours=1)))
    assert 0.70 <= honest <= 0.82
    assert leaking >= honest + 0.05


def test_outcomes_follow_from_the_statistics_of_their_moment() -> None:
    params = world(dirt=0)
    stats, orders = tables(params)
    score = np.full(len(orders), WEIGHTS["bias"])
    for row in range(len(orders)):  # brute force: the last row of that driver that is not later
        mine = stats[
            (stats["driver_id"] == orders["driver_id"][row])
            & (stats["event_timestamp"] <= orders["event_timestamp"][row])
        ].iloc[-1]
        score[row] += WEIGHTS["conv_rate"] * (mine["conv_rate"] - 0.5)
        score[row] += WEIGHTS["acc_rate"] * (mine["acc_rate"] - 0.6)
        score[row] += WEIGHTS["avg_daily_trips"] * (mine["avg_daily_trips"] - 350)
    expected = _draw_orders(params).luck < 1 / (1 + np.exp(-score))
    assert orders["trip_completed"].astype(bool).tolist() == expected.tolist()


def test_same_parameters_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(world(), tmp_path / name)
    for file in ("source.db", "request.csv"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


@pytest.mark.parametrize("change", [{"seed": 8}, {"drivers": 21}, {"orders": 201}, {"dirt": 0.02}])
def test_other_parameters_other_bytes(tmp_path: Path, change: dict[str, Any]) -> None:
    write(world(), tmp_path / "one")
    write(world(**change), tmp_path / "two")
    assert (tmp_path / "one/source.db").read_bytes() != (tmp_path / "two/source.db").read_bytes()


def test_rows_and_columns(tmp_path: Path) -> None:
    outcome = write(world(dirt=0), tmp_path)
    assert outcome["rows"] == {"driver_stats": 20 * 3 * 24, "driver_orders": 200}
    with closing(sqlite3.connect(tmp_path / "source.db")) as database:
        stats = pd.read_sql("SELECT * FROM driver_stats", database, parse_dates=["event_timestamp", "created"])
        orders = pd.read_sql("SELECT * FROM driver_orders", database, parse_dates=["event_timestamp"])
    assert not stats.duplicated(["driver_id", "event_timestamp"]).any()
    assert stats["event_timestamp"].min() == pd.Timestamp("2026-02-26")
    assert (stats["created"] <= pd.Timestamp("2026-03-01")).all()
    assert (stats["created"] - stats["event_timestamp"]).max() > pd.Timedelta(hours=1)  # some arrive late
    assert stats["conv_rate"].between(0, 1).all()
    assert set(orders["trip_completed"]) == {0, 1}
    assert orders["driver_id"].isin(stats["driver_id"]).all()


def test_a_second_run_writes_nothing(tmp_path: Path) -> None:
    assert write(world(), tmp_path)["written"]
    before = (tmp_path / "source.db").stat().st_mtime_ns
    again = write(world(), tmp_path)
    assert not again["written"]
    assert again["rows"]["driver_orders"] == 200
    assert (tmp_path / "source.db").stat().st_mtime_ns == before


def test_a_lost_request_file_comes_back(tmp_path: Path) -> None:
    write(world(), tmp_path)
    text = (tmp_path / "request.csv").read_text()
    (tmp_path / "request.csv").unlink()
    assert not write(world(), tmp_path)["written"]
    assert (tmp_path / "request.csv").read_text() == text


def test_without_an_end_a_world_of_last_week_stays(tmp_path: Path) -> None:
    write(world(), tmp_path)
    later = world(end=END + timedelta(days=6))
    assert write(later, tmp_path, end_given=False)["end"] == END.isoformat()
    assert write(later, tmp_path)["written"]


def test_a_world_of_last_month_is_replaced(tmp_path: Path) -> None:
    write(world(), tmp_path)
    assert write(world(end=END + timedelta(days=30)), tmp_path, end_given=False)["written"]


def test_a_world_that_was_ingested_is_not_replaced(tmp_path: Path) -> None:
    write(world(), tmp_path)
    with pytest.raises(BadInput, match="mixture"):
        write(world(seed=8), tmp_path, ingested=True)
    assert not write(world(), tmp_path, ingested=True)["written"]
    assert write(world(seed=8), tmp_path, ingested=True, force=True)["written"]


@pytest.mark.parametrize("table", ["driver_stats", "other"])
def test_foreign_tables_are_not_overwritten(tmp_path: Path, table: str) -> None:
    with closing(sqlite3.connect(tmp_path / "source.db")) as database:
        database.execute(f"CREATE TABLE {table} (x)")
    before = (tmp_path / "source.db").read_bytes()
    with pytest.raises(BadInput, match=table):
        write(world(), tmp_path)
    assert (tmp_path / "source.db").read_bytes() == before


def test_force_replaces_foreign_tables_of_the_same_name(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "source.db")) as database:
        database.execute("CREATE TABLE driver_stats (x)")
    assert write(world(), tmp_path, force=True)["written"]


def test_a_file_that_is_no_database_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "source.db").write_text("my notes " * 200)
    with pytest.raises(BadInput, match="can't be read as SQLite"):
        write(world(), tmp_path)
    assert (tmp_path / "source.db").read_text().startswith("my notes")


@pytest.mark.parametrize(
    "change",
    [{"drivers": 0}, {"drivers": -1}, {"days": 0}, {"orders": 0}, {"seed": -1}, {"dirt": -0.1}, {"dirt": 0.9}],
)
def test_senseless_sizes_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=f"--{next(iter(change))}"):
        world(**change)


@pytest.mark.parametrize(
    ("text", "end"),
    [(None, "2026-03-10T00:00+00:00"), ("2026-03-01", "2026-03-01T00:00+00:00"),
     ("2026-03-01T14:00+07:00", "2026-03-01T07:00+00:00")],
)  # fmt: skip
def test_end(text: str | None, end: str) -> None:
    assert world_end(text, datetime(2026, 3, 10, 11, 59, tzinfo=UTC)) == datetime.fromisoformat(end)


@pytest.mark.parametrize("text", ["soon", "2026-03-01T12:30", "2026-03-11", ""])
def test_a_senseless_end_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="--end"):
        world_end(text, datetime(2026, 3, 10, tzinfo=UTC))


def test_dirt_has_every_defect_and_about_the_share_asked_for() -> None:
    (day,) = simulate(world(drivers=400, days=1, dirt=0))
    dirty = soil(day.stats, 0.05, np.random.default_rng(1)).to_pandas()
    rates = dirty[["conv_rate", "acc_rate"]]
    assert rates.isna().to_numpy().any()
    assert (rates > 1).to_numpy().any()
    assert (rates < 0).to_numpy().any()
    future = dirty["event_timestamp"] > pd.Timestamp(END) + pd.Timedelta(days=300)
    assert 0.004 < future.mean() < 0.02
    assert 0.004 < dirty.duplicated().mean() < 0.02


def test_no_dirt_leaves_the_rows_as_they_are() -> None:
    (day,) = simulate(world(days=1))
    assert soil(day.stats, 0.0, np.random.default_rng(1)).equals(day.stats)


@pytest.mark.parametrize(("drivers", "lines"), [(1, 20), (5, 100), (50, 200)])
def test_batch_request(drivers: int, lines: int) -> None:
    text = batch_request(world(drivers=drivers)).splitlines()
    assert text[0] == "event_timestamp,driver_id"
    rows = [line.split(",") for line in text[1:]]
    assert len(rows) == lines
    assert all(END - timedelta(days=1) <= datetime.fromisoformat(moment) <= END for moment, _ in rows)
    assert {int(driver) for _, driver in rows} <= set(range(1001, 1001 + drivers))


def test_a_killed_generate_leaves_the_earlier_world(tmp_path: Path) -> None:
    write(world(), tmp_path)
    before = (tmp_path / "source.db").read_bytes()
    command = [sys.executable, "-c", "from data_pipeline.cli import main; main()", "generate", "--drivers", "3000"]
    environment = os.environ | {
        "TWINSERVE_HOME": str(tmp_path),
        "TWINSERVE_SOURCE_URL": f"sqlite:///{tmp_path}/source.db",
    }
    child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not any(f.stat().st_size > 1_000_000 for f in tmp_path.glob(".source.db.*.tmp")):
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert (tmp_path / "source.db").read_bytes() == before
    assert not write(world(), tmp_path)["written"]
