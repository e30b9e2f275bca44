"""In whatever batches and order rows arrive, the offline store ends with the same bytes.

As long as none is corrected in place: then the order of reading counts (`test_corrections`).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ROW = st.tuples(
    st.integers(1, 2),  # shop
    st.integers(0, 60),  # hours
    st.sampled_from([0.25, 0.5, None, 7.0]),  # one of them out of range
    st.sampled_from([1, None]),
    st.integers(0, 2),  # hours until written: corrections
)


def frame(rows: list[tuple[Any, ...]], now: pd.Timestamp) -> pd.DataFrame:
    events = pd.Series([now - pd.Timedelta(hours=100 - hours) for _, hours, *_ in rows], dtype="datetime64[us, UTC]")
    lags = pd.Series([pd.Timedelta(hours=lag) for *_, lag in rows], dtype="timedelta64[us]")
    return pd.DataFrame(
        {
            "event_timestamp": events,
            "shop": pd.Series([row[0] for row in rows], dtype="int64"),
            "rate": pd.Series([row[2] for row in rows], dtype="float64"),
            "count": pd.Series([row[3] for row in rows], dtype="Int64"),
            "created": events + lags,
        }
    )


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(ROW, min_size=1, max_size=25, unique_by=lambda row: (row[0], row[1], row[4])), data=st.data())
def test_any_batches_with_overlaps_equal_one_shot(
    pipeline_in: Callable[..., Any], rows: list[tuple[Any, ...]], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(rows))))
    again = data.draw(st.lists(st.sampled_from(range(len(rows))), max_size=8))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows) + len(again)), max_size=3)))
    sequence = [*order, *again]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        once, often = pipeline_in(root / "once"), pipeline_in(root / "often")
        everything = frame(rows, pd.Timestamp(once.now))
        everything.to_parquet(root / "all.parquet", index=False)
        once.through_without_report(root / "all.parquet", "all")
        for number, (low, high) in enumerate(zip([0, *cuts], [*cuts, len(sequence)], strict=True)):
            everything.iloc[sequence[low:high]].to_parquet(root / f"{number}.parquet", index=False)
            often.through_without_report(root / f"{number}.parquet", f"r{number}")
        assert often.store_bytes() == once.store_bytes()


@pytest.mark.parametrize("seed", range(2))
def test_a_growing_table_read_by_watermark_equals_one_shot(
    pipeline_in: Callable[..., Any], tmp_path: Path, seed: int
) -> None:
    """Rows appear in the order of their writing, up to half an hour out of it: within the look-back."""
    rng = np.random.default_rng(seed)
    grown, once = pipeline_in(tmp_path / "grown"), pipeline_in(tmp_path / "once")
    picked = [
        (int(rng.integers(1, 4)), int(rng.integers(0, 60)), round(rng.random(), 1), 1, int(rng.integers(0, 12)))
        for _ in range(200)
    ]
    rows = frame(picked, pd.Timestamp(once.now)).drop_duplicates(["shop", "event_timestamp", "created"])
    jitter = pd.Series(pd.to_timedelta(rng.integers(0, 31, len(rows)), unit="min"), index=rows.index)
    rows = rows.iloc[(rows["created"] + jitter).argsort(kind="stable")]
    url = f"sqlite:///{tmp_path / 'v.db'}"
    engine = sa.create_engine(url)
    cuts = sorted(rng.integers(0, len(rows), 6).tolist())
    pulled = 0
    for number, (low, high) in enumerate(zip([0, *cuts], [*cuts, len(rows)], strict=True)):
        rows.iloc[low:high].to_sql("visits", engine, if_exists="append", index=False)
        pulled += grown.through(url, f"r{number}")["rows_in"]
    once.through(url)
    assert grown.store_bytes() == once.store_bytes()
    assert pulled < 200 * 3  # far less than all rows every time


CHILD = textwrap.dedent("""
    import sys
    from datetime import UTC, datetime
    from pathlib import Path
    from data_pipeline.publishing.corrections import CorrectionLog
    from data_pipeline.publishing.read_times import ReadTimes
    from data_pipeline.quarantine import Quarantine
    from data_pipeline.run_folder import ViewRun
    from data_pipeline.sources import SourceRules
    from data_pipeline.validate import Places, sort_rows
    from twinserve.features.feast_repo.views import ViewSpec
    root = Path(sys.argv[1])
    view = ViewSpec("visits", {"shop": "INT64"}, {"rate": "FLOAT", "count": "INT64"}, root / "offline" / "visits",
                    "event_timestamp", "created", None)
    run, rules = ViewRun(root / "runs" / "r1", "visits", "r1"), SourceRules(table="visits")
    places = Places(Quarantine(root / "quarantine" / "visits"), root / "reports" / "r1.html", root / "lock",
                    CorrectionLog(root / "corrections" / "visits"), ReadTimes(root / "read_times" / "visits"))
    publisher = places.publisher(run, view, rules)
    rows = sort_rows(run, view, rules, places.quarantine, datetime(2026, 3, 10, 12, tzinfo=UTC))
    plan = publisher.plan(rows.good)
    print("ready", flush=True)
    publisher.publish(rows.good, publisher.listed(rows.superseded, plan))
""")


def test_killed_in_the_middle_of_publishing_then_run_again(
    pipeline_in: Callable[..., Any], tmp_path: Path, visits: Callable[..., pd.DataFrame]
) -> None:
    killed, whole = pipeline_in(tmp_path / "killed"), pipeline_in(tmp_path / "whole")
    start = killed.now - timedelta(days=200)
    rows = visits(2 * 24 * 40, start=start)
    earlier = rows[::96].assign(rate=1.0)  # what is stored before, and contradicts some of the rows
    rows.to_parquet(tmp_path / "rows.parquet", index=False)
    earlier.to_parquet(tmp_path / "earlier.parquet", index=False)
    for home in (killed, whole):
        home.through_without_report(tmp_path / "earlier.parquet", "r0")
        home.ingest(tmp_path / "rows.parquet", "r1")
        home.clean("r1")
    unstored = f"day={(start + timedelta(days=1)).date()}"
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(killed.root)],
        stdout=subprocess.PIPE,
        env=os.environ,
    )
    assert child.stdout
    child.stdout.readline()
    deadline = time.monotonic() + 60
    while not list(killed.view.path.glob(f"{unstored}/*.parquet")):
        assert child.poll() is None
        assert time.monotonic() < deadline
    child.send_signal(signal.SIGKILL)
    child.communicate()
    for home in (killed, whole):
        home.through_without_report(tmp_path / "rows.parquet", "r1")
    assert killed.store_bytes() == whole.store_bytes()
    # what the killed try changed is told of by the next one
    assert killed.run("r1").changes.counts() == whole.run("r1").changes.counts()
    assert killed.corrected() == whole.corrected()
    assert len(whole.corrected()) > 0
