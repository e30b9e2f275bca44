"""Rows of the past, pulled again by the time of their arrival."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_pipeline.reading.interval import Interval
from twinserve.errors import BadInput

Frames = Callable[..., pd.DataFrame]
START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = Interval(datetime(2026, 3, 9, tzinfo=UTC), datetime(2026, 3, 10, tzinfo=UTC))
# fractions of a second too: SQLite compares whole ones
MOMENTS = st.integers(0, 40).map(lambda quarters: START + timedelta(seconds=quarters / 4))


def days_of(frame: pd.DataFrame, day: Interval = DAY) -> pd.DataFrame:
    return frame[(frame["created"] >= day.since) & (frame["created"] < day.until)]


def in_database(frame: pd.DataFrame, url: str) -> str:
    engine = sa.create_engine(url)
    frame.to_sql("visits", engine, if_exists="append", index=False)
    engine.dispose()
    return url


def pulled(home: Any, key: str) -> pd.DataFrame:
    parts = sorted(home.run(key).raw.glob("*.parquet"))
    return pd.concat([pq.read_table(part).to_pandas() for part in parts]) if parts else pd.DataFrame({"count": []})


@pytest.mark.integration
@pytest.mark.parametrize("kind", ["parquet", "csv", "sqlite", "postgres"])
def test_a_day_is_exactly_its_rows_and_the_watermark_stays(
    pipeline: Any, tmp_path: Path, visits: Frames, request: pytest.FixtureRequest, kind: str
) -> None:
    rows = visits(96)
    if kind in ("sqlite", "postgres"):
        lite = f"sqlite:///{tmp_path / 'v.db'}"
        source = in_database(rows, lite if kind == "sqlite" else request.getfixturevalue("postgres_url"))
    else:
        source = str(tmp_path / f"v.{kind}")
        rows.to_csv(source, index=False) if kind == "csv" else rows.to_parquet(source, index=False)
    pipeline.through(source)
    marks = {file: file.read_text() for file in pipeline.watermarks.root.rglob("*.json")}
    before = pipeline.store_bytes()
    outcome = pipeline.through(source, "day", DAY)
    assert outcome["rows_in"] == outcome["rows_already_stored"] == len(days_of(rows))
    assert outcome["updated"] == {"rows": 0, "days": 0}
    assert pipeline.store_bytes() == before
    assert {file: file.read_text() for file in pipeline.watermarks.root.rglob("*.json")} == marks


def test_rows_that_were_written_behind_the_watermark_are_found(
    pipeline_in: Any, tmp_path: Path, visits: Frames
) -> None:
    rows = visits(96)
    missed = rows.index.isin(days_of(rows).index[3:9])
    late, whole = pipeline_in(tmp_path / "late"), pipeline_in(tmp_path / "whole")
    url = in_database(rows[~missed], f"sqlite:///{tmp_path / 'v.db'}")
    late.through(url, "r1")
    in_database(rows[missed], url)
    assert late.through_without_report(url, "day", DAY).rows_new == 6
    whole.through_without_report(url, "r1")
    assert late.store_bytes() == whole.store_bytes()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    arrivals=st.lists(st.one_of(MOMENTS, st.none()), min_size=1, max_size=20),
    cuts=st.lists(MOMENTS, max_size=4),
    database=st.booleans(),
    data=st.data(),
)
def test_intervals_that_meet_share_the_rows_out(
    pipeline_in: Callable[..., Any],
    arrivals: list[datetime | None],
    cuts: list[datetime],
    database: bool,
    data: st.DataObject,
) -> None:
    rows = pd.DataFrame(
        {
            "event_timestamp": pd.Series([START] * len(arrivals)).astype("datetime64[us, UTC]"),
            "shop": range(len(arrivals)),
            "rate": 0.5,
            "count": range(len(arrivals)),
            "created": pd.Series(arrivals, dtype="datetime64[us, UTC]"),
        }
    )
    edges = sorted({START - timedelta(days=1), *cuts, START + timedelta(days=1)})
    intervals = [Interval(low, high) for low, high in pairwise(edges)]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        source = in_database(rows, f"sqlite:///{root / 'v.db'}") if database else str(root / "v.csv")
        if not database:
            rows.to_csv(source, index=False)
        filled, once = pipeline_in(root / "filled"), pipeline_in(root / "once")
        for number, interval in enumerate(data.draw(st.permutations(intervals))):
            filled.through_without_report(source, f"i{number}", interval)
            seen = sorted(pulled(filled, f"i{number}")["count"].astype(int))
            assert seen == [i for i, at in enumerate(arrivals) if at and interval.since <= at < interval.until]
        once.through_without_report(source, "r1")
        assert filled.store_bytes() == once.store_bytes()


def test_a_backfill_of_old_days_is_not_refused_for_their_age(
    pipeline_in: Any, tmp_path: Path, visits: Frames, rules: Any
) -> None:
    strict = rules(checks={"freshness": {"max_age_hours": 1, "on_failure": "fail"}})
    home = pipeline_in(tmp_path / "home", rules=strict)
    visits(96).to_parquet(tmp_path / "v.parquet", index=False)
    assert home.through(tmp_path / "v.parquet", "day", DAY)["rows_new"] == len(days_of(visits(96)))


def test_a_run_tells_of_what_its_first_try_changed_until_it_begins_anew(
    pipeline: Any, source_file: Callable[..., Path], visits: Frames
) -> None:
    file = source_file(visits(96))
    pipeline.through_without_report(file, "r1")  # published, and killed before it could say so
    assert pipeline.validate("r1")["updated"] == {"rows": 96, "days": 3}
    assert pipeline.validate("r1")["updated"] == {"rows": 96, "days": 3}  # said, and killed before Airflow heard it
    assert pipeline.through(file, "r1")["updated"] == {"rows": 0, "days": 0}


@pytest.mark.parametrize(
    ("since", "until", "message"),
    [
        ("2026-01-01", None, "go together"),
        (None, "2026-01-01", "go together"),
        ("yesterday", "2026-01-01", "--since 'yesterday' is no time"),
        ("2026-01-01", "2026-01-32", "--until '2026-01-32' is no time"),
        ("2026-01-01T00:00:00+01:00", "2025-12-31T23:00:00Z", "is not after"),
        ("0001-01-01T00:00:00+14:00", "2026-01-01", "is no time"),
    ],
)
def test_an_interval_is_two_times_in_their_order(since: str | None, until: str | None, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Interval.of(since, until)


def test_times_without_a_zone_are_utc() -> None:
    assert Interval.of("2026-01-01", "2026-01-02T01:00:00+01:00") == Interval(
        datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    )
    assert Interval.of(None, "") is None
