"""A source corrected in place: the same keys and times, other values. A declared rule says which of them is stored."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_pipeline.sources import Rule
from twinserve.errors import PermanentError

Frames = Callable[..., pd.DataFrame]
Files = Callable[..., Path]


def rates(home: Any) -> list[float | None]:
    ordered = home.stored().sort_values(["event_timestamp", "shop"])
    return [None if pd.isna(rate) else round(float(rate), 6) for rate in ordered["rate"]]


def corrected_in_place(rows: pd.DataFrame) -> pd.DataFrame:
    """Half of the values grow, half of them shrink: no rule that looks at values could get them right."""
    return rows.assign(rate=[rate + 0.01 if i % 2 else rate / 2 + 0.001 for i, rate in enumerate(rows["rate"])])


@pytest.mark.parametrize("ending", ["parquet", "csv", "db"])
def test_the_later_read_takes_the_place_of_what_is_stored(
    pipeline: Any, tmp_path: Path, visits: Frames, ending: str
) -> None:
    rows, corrected = visits(), corrected_in_place(visits())
    outcomes = []
    for key, frame in (("r1", rows), ("r2", corrected)):
        if ending == "db":
            engine = sa.create_engine(f"sqlite:///{tmp_path / 'v.db'}")
            frame.to_sql("visits", engine, if_exists="replace", index=False)
            source = f"sqlite:///{tmp_path / 'v.db'}"
        else:
            source = str(tmp_path / f"{key}.{ending}")
            frame.to_csv(source, index=False) if ending == "csv" else frame.to_parquet(source, index=False)
        pipeline.rules = pipeline.rules.model_copy(update={"lookback_minutes": 60 * 24 * 30})
        outcomes.append(pipeline.through(source, key))
        pipeline.now += timedelta(minutes=1)
    assert rates(pipeline) == [round(rate, 6) for rate in corrected["rate"]]
    assert outcomes[1]["corrections"] == 48
    assert outcomes[1]["ledger"] == {
        "seen": 48, "stored": 0, "stored_already": 0, "replaced": 48, "set_aside": 0,
        "ignored": {"duplicate": 0, "superseded": 0, "keep_first": 0, "older_read": 0, "refused": 0},
    }  # fmt: skip
    assert outcomes[1]["updated"]["rows"] == 48, "who waits for news of the store hears of corrections"
    assert "48 rows took the place of stored ones" in outcomes[1]["warnings"][0]
    assert pipeline.quarantined() == []


def test_each_correction_is_listed_with_both_values(pipeline: Any, visits: Frames, source_file: Files) -> None:
    rows = visits(4)
    pipeline.through(source_file(rows))
    changed = rows.assign(rate=[0.5, *rows["rate"][1:]])
    outcome = pipeline.through(source_file(changed), "r2")
    (found,) = pq.read_table(outcome["corrections_listed"]).to_pylist()
    assert json.loads(found["row"])["shop"] == 1
    assert (json.loads(found["before"])["rate"], json.loads(found["after"])["rate"]) == (0.0, 0.5)
    assert found["decision"] == "replaced"
    page = Path(outcome["report"]).read_text()
    assert "Corrections" in page
    assert "&#34;rate&#34;: 0.5" in page


@pytest.mark.parametrize(("rule", "stays"), [("latest_read", 0.5), ("keep_first", 0.0)])
def test_the_declared_rule_decides(
    pipeline: Any, visits: Frames, source_file: Files, rules: Any, rule: Rule, stays: float
) -> None:
    pipeline.rules = rules(corrections=rule)
    rows = visits(4)
    pipeline.through(source_file(rows))
    outcome = pipeline.through(source_file(rows.assign(rate=[0.5, *rows["rate"][1:]])), "r2")
    assert rates(pipeline)[0] == stays
    assert outcome["corrections"] == 1
    assert [row["decision"] for row in pipeline.corrected()] == ["replaced" if stays else "keep_first"]


def test_refuse_publishes_nothing_and_says_which_rows(
    pipeline: Any, visits: Frames, source_file: Files, rules: Any
) -> None:
    pipeline.rules = rules(corrections="refuse")
    rows = visits(4)
    pipeline.through(source_file(rows))
    before, mark = pipeline.store_bytes(), pipeline.watermarks.read("visits", str(source_file(rows)), "created")
    more = pd.concat([rows.assign(rate=[0.5, *rows["rate"][1:]]), visits(8)[4:]])
    with pytest.raises(PermanentError, match="rule refuse: 1 rows differ from earlier ones"):
        pipeline.through(source_file(more), "r2")
    assert pipeline.store_bytes() == before
    assert pipeline.watermarks.read("visits", str(source_file(rows)), "created") == mark
    (listed,) = pq.read_table(pipeline.run("r2").refused_corrections).to_pylist()
    assert listed["decision"] == "refused"
    assert pipeline.corrected() == []


def test_a_correction_to_null_is_stored_as_null(pipeline: Any, visits: Frames, source_file: Files) -> None:
    rows = visits(4)
    pipeline.through(source_file(rows))
    pipeline.through(source_file(rows.assign(rate=rows["rate"].where(rows.index > 0))), "r2")
    assert rates(pipeline)[0] is None


def test_a_correction_that_breaks_a_check_is_set_aside_and_what_is_stored_stays(
    pipeline: Any, visits: Frames, source_file: Files
) -> None:
    rows = visits(4)
    pipeline.through(source_file(rows))
    outcome = pipeline.through(source_file(rows.assign(rate=[7.0, *rows["rate"][1:]])), "r2")
    assert rates(pipeline)[0] == 0.0
    assert (outcome["corrections"], outcome["ledger"]["set_aside"]) == (0, 1)


def test_an_older_read_that_is_published_later_takes_no_place(
    pipeline: Any, visits: Frames, source_file: Files
) -> None:
    rows = visits(4)
    pipeline.through(source_file(rows), "r0")
    for key, rate in (("older", 0.3), ("newer", 0.6)):
        pipeline.now += timedelta(minutes=1)
        pipeline.ingest(source_file(rows.assign(rate=[rate, *rows["rate"][1:]])), key)
        pipeline.clean(key)
    pipeline.validate("newer")
    outcome = pipeline.validate("older")
    assert rates(pipeline)[0] == 0.6
    assert outcome["ledger"]["ignored"]["older_read"] == 1
    assert "read later" in outcome["warnings"][0]


def test_a_value_that_was_taken_back_counts_as_read_again(pipeline: Any, visits: Frames, source_file: Files) -> None:
    """0.0, then 0.3, then 0.0 again: the last read stores nothing new, and is the later one all the same."""
    rows = visits(4)
    pipeline.through(source_file(rows), "r0")
    for key, rate in (("r1", 0.3), ("r2", 0.0)):
        pipeline.now += timedelta(minutes=1)
        # in full: the file that r2 reads is the one that was published, and would not be read again
        pipeline.ingest(source_file(rows.assign(rate=[rate, *rows["rate"][1:]])), key, full=True)
        pipeline.clean(key)
    assert pipeline.validate("r2")["days_written"] == 0
    assert pipeline.validate("r1")["ledger"]["ignored"]["older_read"] == 1
    assert rates(pipeline)[0] == 0.0


@pytest.mark.parametrize(("rule", "stays"), [("latest_read", 0.9), ("keep_first", 0.1)])
def test_a_file_has_an_order(
    pipeline: Any, visits: Frames, source_file: Files, rules: Any, rule: Rule, stays: float
) -> None:
    pipeline.rules = rules(corrections=rule)
    row = visits(1)
    said = pd.concat([row.assign(rate=rate) for rate in (0.1, 0.5, 0.1, 0.9, 0.1, 0.9)])
    outcome = pipeline.through(source_file(said))
    assert rates(pipeline) == [stays]
    assert outcome["ledger"]["ignored"]["duplicate"] == 3
    assert outcome["ledger"]["ignored"]["superseded" if rule == "latest_read" else "keep_first"] == 2
    assert len(pipeline.corrected()) == 2


def test_the_later_of_two_files_counts(pipeline: Any, tmp_path: Path, visits: Frames) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    visits(4).assign(rate=0.9).to_csv(folder / "a.csv", index=False)
    visits(4).assign(rate=0.2).to_csv(folder / "b.csv", index=False)
    pipeline.through(folder)
    assert rates(pipeline) == [0.2] * 4


def test_a_table_has_no_order_and_rows_that_contradict_each_other_are_set_aside(
    pipeline: Any, tmp_path: Path, visits: Frames
) -> None:
    url = f"sqlite:///{tmp_path / 'v.db'}"
    rows = pd.concat([visits(4), visits(1).assign(rate=0.9), visits(1).assign(rate=0.2)])
    rows.to_sql("visits", sa.create_engine(url), index=False)
    outcome = pipeline.through(url)
    assert outcome["bad_by_reason"] == {"contradicts another row of the same keys and times": 3}
    assert len(pipeline.stored()) == 3
    assert len(pipeline.quarantined()) == 3


def test_a_correction_with_a_later_created_stays_beside_what_it_corrects(
    pipeline: Any, source_file: Files, visits: Frames
) -> None:
    """Both are stored; the join takes the last created. The same holds for another event time: it is another row."""
    rows = visits(4)
    pipeline.through(source_file(rows))
    later = rows[:1].assign(rate=0.9, created=rows["created"][:1] + timedelta(hours=2))
    moved = rows[:1].assign(rate=0.8, event_timestamp=rows["event_timestamp"][:1] + timedelta(minutes=1))
    outcome = pipeline.through(source_file(pd.concat([rows, later, moved])), "r2")
    assert (outcome["rows_new"], outcome["corrections"]) == (2, 0)


def test_damaged_read_times_say_what_to_do(pipeline: Any, source_file: Files, visits: Frames) -> None:
    pipeline.through(source_file(visits(4)))
    next((pipeline.root / "read_times").rglob("*.parquet")).write_bytes(b"PAR1")
    with pytest.raises(PermanentError, match="Delete it"):
        pipeline.through(source_file(visits(5)), "r2")


def test_a_store_of_the_version_before_is_read_and_corrected(pipeline: Any, source_file: Files, visits: Frames) -> None:
    """It has no times of reading: what it holds counts as read before everything else."""
    pipeline.through(source_file(visits(4)))
    for file in (pipeline.root / "read_times").rglob("*.parquet"):
        file.unlink()
    pipeline.through(source_file(visits(4).assign(rate=0.7)), "r2")
    assert rates(pipeline) == [0.7] * 4


ROW = st.tuples(st.integers(1, 2), st.integers(0, 30), st.sampled_from([0.25, 0.5, None, 7.0]))
READS = st.lists(st.lists(ROW, min_size=1, max_size=6), min_size=1, max_size=5)


def frame(rows: list[tuple[Any, ...]], now: pd.Timestamp) -> pd.DataFrame:
    events = pd.Series([now - pd.Timedelta(hours=60 - hours) for _, hours, _ in rows], dtype="datetime64[us, UTC]")
    return pd.DataFrame(
        {
            "event_timestamp": events,
            "shop": pd.Series([row[0] for row in rows], dtype="int64"),
            "rate": pd.Series([row[2] for row in rows], dtype="float64"),
            "count": pd.Series([1] * len(rows), dtype="int64"),
            "created": events,
        }
    )


def expected(reads: list[list[tuple[Any, ...]]], rule: Rule) -> dict[tuple[int, int], float | None]:
    """What the store must hold: of each row the last value that passes, by the order of reading; or the first."""
    held: dict[tuple[int, int], float | None] = {}
    for rows in reads:
        for shop, hours, rate in rows:
            if rate != 7.0 and not (rule == "keep_first" and (shop, hours) in held):
                held[shop, hours] = rate
    return held


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(reads=READS, rule=st.sampled_from(["latest_read", "keep_first"]), data=st.data())
def test_any_reads_published_in_any_order_and_again_end_as_the_rule_says(
    pipeline_in: Callable[..., Any], rules: Any, reads: list[list[tuple[Any, ...]]], rule: Rule, data: st.DataObject
) -> None:
    numbers = list(range(len(reads)))
    # what is stored first stays under `keep_first`, so there the order of publishing is the order that counts
    order = numbers if rule == "keep_first" else data.draw(st.permutations(numbers))
    again = [] if rule == "keep_first" else data.draw(st.lists(st.sampled_from(numbers), max_size=2))
    with tempfile.TemporaryDirectory() as folder:
        home = pipeline_in(Path(folder) / "home", rules=rules(corrections=rule))
        for number, rows in enumerate(reads):
            home.now += timedelta(seconds=1)
            file = Path(folder) / f"{number}.parquet"
            frame(rows, pd.Timestamp("2026-03-10", tz="UTC")).to_parquet(file, index=False)
            home.ingest(file, f"r{number}")
            home.clean(f"r{number}")
        for number in [*order, *again]:
            ledger = home.validate_without_report(f"r{number}")[1].to_dict()
            ignored = ledger.pop("ignored")
            assert ledger.pop("seen") == len(reads[number]) == sum(ledger.values()) + sum(ignored.values())
        held = {}
        if home.view.path.exists():
            for row in home.stored().to_dict("records"):
                hours = 60 - (pd.Timestamp("2026-03-10", tz="UTC") - row["event_timestamp"]) // pd.Timedelta(hours=1)
                held[row["shop"], hours] = None if pd.isna(row["rate"]) else row["rate"]
        assert held == expected(reads, rule)
