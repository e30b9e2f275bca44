"""Small files with the quirks of real ones, through the same commands: a pandas export, a request, a few labels."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from platform_under_test import CommandFailed, Platform

from twinserve.registry import Registry
from twinserve.settings import load_settings

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("example")]
KEYS = [1001, 1002, 1003, 1004, 1005]
ASKED = pd.DataFrame(
    {
        "event_timestamp": pd.date_range("2021-04-16 20:29:28", periods=10, freq="8h", tz="UTC"),
        "driver_id": [1001, 1002, 1003, 1001, 1002, 1003, 1001, 1002, 1003, 1004],
    }
)


@pytest.fixture(scope="module")
def statistics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another name for the event time, a naive `created`, an index column, an early row per key, two rows thrice."""
    early = pd.DataFrame({"datetime": pd.Timestamp("2021-04-12 07:00", tz="UTC"), "driver_id": KEYS})
    hours = pd.date_range("2021-07-13 11:00", periods=48, freq="h", tz="UTC")
    hourly = pd.MultiIndex.from_product([hours, KEYS], names=["datetime", "driver_id"]).to_frame(index=False)
    rows = pd.concat([early, hourly], ignore_index=True)
    rows["conv_rate"] = (rows.index % 97) / 97
    rows["acc_rate"] = (rows.index % 89) / 89
    rows["avg_daily_trips"] = rows.index % 1000
    rows["created"] = pd.Timestamp("2021-07-28 11:08:04.802")
    file = tmp_path_factory.mktemp("files") / "statistics.parquet"
    pd.concat([rows, rows.iloc[[100, 100]]]).to_parquet(file)
    return file


@pytest.fixture(scope="module")
def published(example: Platform, statistics: Path) -> dict[str, int]:
    result = example.to_offline_store("export", "--source", str(statistics))["views"]["driver_stats"]
    return {name: result[name] for name in ("rows_in", "rows_good", "rows_bad", "duplicates", "rows_new")}


def test_the_export_is_published_with_its_quirks_counted(published: dict[str, int]) -> None:
    assert published == {"rows_in": 247, "rows_good": 245, "rows_bad": 0, "duplicates": 2, "rows_new": 245}


def test_ten_requests_give_ten_predictions(example: Platform, published: dict[str, int], tmp_path: Path) -> None:
    ASKED.to_csv(tmp_path / "request.csv", sep="\t", index=False)
    scored = example.score("ten", tmp_path / "request.csv")
    assert (scored["rows"], scored["predicted"]) == (10, 10)
    assert pd.read_parquet(scored["output"])["driver_id"].tolist() == ASKED["driver_id"].tolist()


def test_ten_labels_are_read_and_then_refused(example: Platform, published: dict[str, int], tmp_path: Path) -> None:
    champion = Registry(load_settings(home=example.home)).champion()
    labels = tmp_path / "labels.csv"
    ASKED.assign(trip_completed=[1, 0, 0, 1, 0, 0, 1, 0, 0, 1]).to_csv(labels, sep="\t", index=False)
    example.run("training-pipeline", "feature-store-init", "--run-key", "ten")
    extracted = example.run("training-pipeline", "data-extraction", "--run-key", "ten", "--labels", str(labels))
    assert (extracted["rows"], extracted["missing"]["complete"]) == (10, 10)
    with pytest.raises(CommandFailed, match="usable rows: 10, at least 500 needed") as refused:
        example.run("training-pipeline", "data-validation", "--run-key", "ten")
    assert refused.value.code == 65
    assert Registry(load_settings(home=example.home)).champion() == champion
