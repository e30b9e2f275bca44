"""What an incremental run reads, what it only counts, and that it says which."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_pipeline.reading import table_reading
from data_pipeline.reading.interval import Interval
from data_pipeline.reading.locate import locate
from data_pipeline.reading.source import Account
from twinserve.errors import TransientError

Frames = Callable[..., pd.DataFrame]
Files = Callable[..., Path]


def add(frame: pd.DataFrame, url: str) -> str:
    engine = sa.create_engine(url)
    frame.to_sql("visits", engine, if_exists="append", index=False)
    engine.dispose()
    return url


def execute(url: str, statement: str) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.integration)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    lite = f"sqlite:///{tmp_path / 'v.db'}"
    return lite if request.param == "sqlite" else request.getfixturevalue("postgres_url")


def late_row(rows: pd.DataFrame, hours: float, **values: Any) -> pd.DataFrame:
    """A row of another shop that was written so long before the latest one."""
    at = rows["created"].max() - timedelta(hours=hours)
    return rows[:1].assign(shop=77, created=at, event_timestamp=at - timedelta(minutes=5), **values)


def source_of(outcome: dict[str, Any]) -> dict[str, Any]:
    (source,) = outcome["sources"]
    return dict(source)


def pulled(home: Any, key: str) -> pd.DataFrame:
    found: pd.DataFrame = pd.concat(pq.read_table(p).to_pandas() for p in sorted(home.run(key).raw.glob("*.parquet")))
    return found


@pytest.mark.parametrize("hours", [2, 30])
def test_a_row_that_comes_behind_the_look_back_is_read_and_named(
    pipeline: Any, database: str, visits: Frames, hours: float
) -> None:
    rows = visits()
    add(rows, database)
    pipeline.through(database)
    late = late_row(rows, hours)
    add(late, database)
    day = f"{late['created'].iloc[0]:%Y-%m-%d}"
    seen = source_of(pipeline.ingest(database, "r2"))
    (named,) = seen["late_days"]
    assert (named["day"], named["rows_at_source"]) == (day, named["rows_read_before"] + 1)
    assert seen["rows_at_source"] == 49 == seen["rows"] + sum(seen["rows_not_read"].values())
    pipeline.clean("r2")
    outcome = pipeline.validate("r2")
    assert outcome["rows_new"] == 1
    assert any(f"{day} (" in said for said in outcome["warnings"])
    assert day in (pipeline.root / "reports" / "r2.html").read_text()
    quiet = pipeline.ingest(database, "r3")
    assert (quiet["warnings"], source_of(quiet)["late_days"], quiet["rows"]) == ([], [], 4)


def test_rows_that_are_gone_from_the_source_are_said_once(pipeline: Any, database: str, visits: Frames) -> None:
    add(visits(), database)
    pipeline.through(database)
    execute(database, "DELETE FROM visits WHERE count = 3")
    seen = source_of(pipeline.ingest(database, "r2"))
    assert [day["rows_at_source"] - day["rows_read_before"] for day in seen["late_days"]] == [-1]
    pipeline.clean("r2")
    pipeline.validate("r2")
    assert pipeline.ingest(database, "r3")["warnings"] == []


def test_a_row_that_came_late_is_read_though_another_of_its_day_is_gone(
    pipeline: Any, database: str, visits: Frames
) -> None:
    rows = visits()
    add(rows, database)
    pipeline.through(database)
    mark = next((pipeline.root / "watermarks").rglob("*.json"))
    late = late_row(rows, 30)
    day = late["created"].iloc[0].date()
    gone = rows[rows["created"].dt.date == day]["count"].iloc[0]
    execute(database, f"DELETE FROM visits WHERE count = {gone}")
    add(late, database)
    before = mark.read_text()
    (named,) = source_of(pipeline.ingest(database, "r2"))["late_days"]
    assert (named["day"], named["rows_at_source"]) == (f"{day}", named["rows_read_before"])
    pipeline.clean("r2")
    assert pipeline.validate("r2")["rows_new"] == 1
    assert source_of(pipeline.ingest(database, "r3"))["late_days"] == []
    noted = json.loads(before)
    del noted["seen"]["sums"]
    mark.write_text(json.dumps(noted))
    assert source_of(pipeline.ingest(database, "r4"))["late_days"] == [], "an earlier version counted rows alone"


def test_many_days_that_differ_are_one_reading_of_all(
    pipeline: Any, database: str, visits: Frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_reading, "DAYS_APART", 1)
    rows = visits(96)
    add(rows, database)
    pipeline.through(database)
    add(pd.concat([late_row(rows, 25), late_row(rows, 47)]), database)
    seen = source_of(pipeline.ingest(database, "r2"))
    assert (seen["rows"], seen["since"], seen["rows_not_read"]) == (98, None, {})


def test_what_is_only_counted_is_said_and_full_reads_it(pipeline: Any, database: str, visits: Frames) -> None:
    """A `created` that does not move when its row is updated."""
    add(visits(), database)
    pipeline.through(database)
    execute(database, "UPDATE visits SET rate = 0.99 WHERE count = 0")
    seen = source_of(pipeline.ingest(database, "r2"))
    assert (seen["rows"], list(seen["rows_not_read"].values())) == (4, [44])
    assert "44 rows" in seen["notes"][0]
    assert "counted, not compared" in seen["notes"][0]
    pipeline.ingest(database, "r3", full=True)
    found = pulled(pipeline, "r3")
    assert len(found) == 48
    assert found.set_index("count")["rate"][0] == 0.99


@pytest.mark.parametrize(("days", "read"), [(None, 48), (1, 48), (0, 4)])
def test_without_a_time_of_writing_a_window_is_compared(
    pipeline: Any, database: str, visits: Frames, rules: Any, days: float | None, read: int
) -> None:
    pipeline.rules = rules(created=None, compare_days=days)
    add(visits().drop(columns="created"), database)
    pipeline.through(database)
    execute(database, "UPDATE visits SET rate = 0.99 WHERE count = 40")
    seen = source_of(pipeline.ingest(database, "r2"))
    assert seen["rows"] == read
    assert (0.99 in set(pulled(pipeline, "r2")["rate"])) == (days != 0)


def test_late_events_are_found_without_a_time_of_writing(
    pipeline: Any, database: str, visits: Frames, rules: Any
) -> None:
    pipeline.rules = rules(created=None, compare_days=0)
    rows = visits(96)
    add(rows.drop(columns="created"), database)
    pipeline.through(database)
    add(late_row(rows, 40).drop(columns="created"), database)
    assert pipeline.through(database, "r2")["rows_new"] == 1


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("created", ["created", None])
def test_a_file_that_is_exported_again_is_read_whole(
    pipeline: Any, tmp_path: Path, visits: Frames, rules: Any, ending: str, created: str | None
) -> None:
    pipeline.rules = rules(created=created)
    file, rows = tmp_path / f"v.{ending}", visits()

    def export(frame: pd.DataFrame) -> None:
        frame = frame if created else frame.drop(columns="created")
        frame.to_csv(file, index=False) if ending == "csv" else frame.to_parquet(file, index=False)

    export(rows)
    pipeline.through(file)
    same = source_of(pipeline.ingest(file, "r2"))
    assert (same["rows"], same["rows_at_source"], sum(same["rows_not_read"].values())) == (0, 48, 48)
    pipeline.clean("r2")
    assert pipeline.validate("r2")["rows_new"] == 0
    rows.loc[3, "rate"] = 0.99  # corrected in place
    export(pd.concat([rows, late_row(rows, 40)]))
    assert source_of(pipeline.ingest(file, "r3"))["rows"] == 49
    found = pulled(pipeline, "r3").astype({"shop": int, "rate": float})
    assert 77 in set(found["shop"])
    assert 0.99 in set(found["rate"])


def test_a_file_of_the_same_size_and_time_is_told_apart(pipeline: Any, tmp_path: Path, visits: Frames) -> None:
    file = tmp_path / "v.csv"
    visits().to_csv(file, index=False)
    pipeline.through(file)
    before = file.stat()
    file.write_text(file.read_text().replace(",47,", ",48,"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size
    assert pipeline.ingest(file, "r2")["rows"] == 48


@pytest.mark.parametrize("kind", ["file", "database"])
def test_what_is_read_otherwise_is_read_again(
    pipeline: Any, tmp_path: Path, visits: Frames, source_file: Files, rules: Any, kind: str
) -> None:
    source = source_file(visits()) if kind == "file" else add(visits(), f"sqlite:///{tmp_path / 'v.db'}")
    pipeline.through(source)
    assert pipeline.ingest(source, "r2")["rows"] < 48
    pipeline.rules = rules(checks={"columns": {"rate": {"min": 0, "max": 0.5}}})
    again = pipeline.ingest(source, "r3")
    assert again["rows"] == 48
    assert "no longer those by which it was read" in source_of(again)["notes"][0]


@pytest.mark.parametrize("kind", ["file", "database"])
def test_an_empty_store_is_filled_from_the_beginning(
    pipeline: Any, tmp_path: Path, visits: Frames, source_file: Files, kind: str
) -> None:
    source = source_file(visits()) if kind == "file" else add(visits(), f"sqlite:///{tmp_path / 'v.db'}")
    pipeline.through(source)
    for file in pipeline.view.path.rglob("*.parquet"):
        file.unlink()
    assert pipeline.through(source, "r2")["rows_new"] == 48


def test_a_watermark_of_the_last_version_is_gone_on_from(pipeline: Any, database: str, visits: Frames) -> None:
    rows = visits()
    add(rows, database)
    pipeline.through(database)
    (mark,) = pipeline.watermarks.root.rglob("*.json")
    old = {key: value for key, value in json.loads(mark.read_text()).items() if key not in ("rules", "seen")}
    mark.write_text(json.dumps(old))
    add(late_row(rows, 30), database)
    outcome = pipeline.through(database, "r2")
    assert (outcome["rows_in"], outcome["rows_new"]) == (4, 0)
    assert "ingest --full" in outcome["warnings"][-1]
    pipeline.ingest(database, "r3", full=True)
    pipeline.clean("r3")
    assert pipeline.validate("r3")["rows_new"] == 1
    assert pipeline.through(database, "r4")["warnings"] == []


def test_a_run_that_is_not_published_has_seen_nothing(pipeline: Any, database: str, visits: Frames) -> None:
    """As after a kill between the steps."""
    rows = visits()
    add(rows, database)
    pipeline.through(database)
    add(late_row(rows, 30), database)
    pipeline.ingest(database, "killed")
    assert pipeline.through(database, "r3")["rows_new"] == 1


def test_of_two_runs_at_once_the_next_one_sets_right_what_the_later_published(
    pipeline: Any, visits: Frames, source_file: Files
) -> None:
    """Taken back before it was published: the run between found the file as it was."""
    rows = visits(4)
    pipeline.through(source_file(rows), "r0")
    pipeline.ingest(source_file(rows.assign(rate=0.3)), "r1")
    pipeline.ingest(source_file(rows), "r2")
    for key in ("r2", "r1"):
        pipeline.clean(key)
        pipeline.validate(key)
    pipeline.through(source_file(rows), "r3")
    assert sorted(pipeline.stored()["rate"]) == pytest.approx(sorted(rows["rate"]))


@pytest.mark.integration
def test_what_is_committed_while_a_table_is_read_is_not_taken_for_read(
    pipeline: Any, postgres_url: str, visits: Frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = visits()
    add(rows, postgres_url)
    chunks = table_reading.TableReading._chunks
    late = [late_row(rows, 30)]

    def meanwhile(self: Any, *arguments: Any) -> Any:
        yield from chunks(self, *arguments)
        for row in late:
            add(row, postgres_url)
        late.clear()

    monkeypatch.setattr(table_reading.TableReading, "_chunks", meanwhile)
    assert source_of(pipeline.ingest(postgres_url))["rows_at_source"] == 48
    pipeline.clean()
    pipeline.validate()
    assert pipeline.through(postgres_url, "r2")["rows_new"] == 1


@pytest.mark.integration
def test_times_without_end_are_counted_too(pipeline: Any, postgres_url: str, visits: Frames) -> None:
    add(visits(), postgres_url)
    execute(postgres_url, "UPDATE visits SET created = '-infinity' WHERE count = 1")
    execute(postgres_url, "UPDATE visits SET created = '0044-03-15 BC' WHERE count = 2")
    execute(postgres_url, "UPDATE visits SET created = 'infinity' WHERE count = 3")
    pipeline.through(postgres_url)
    seen = source_of(pipeline.ingest(postgres_url, "r2"))
    assert (seen["late_days"], seen["warnings"], seen["rows"]) == ([], [], 5)


MINUTES = st.integers(0, 6 * 24 * 60)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batches=st.lists(st.tuples(st.lists(MINUTES, max_size=6), st.sampled_from([0, 60, 3000])), min_size=1, max_size=4),
    kind=st.sampled_from(["table", "csv"]),
)
def test_in_whatever_order_rows_are_written_none_is_lost(
    pipeline_in: Callable[..., Any],
    rules: Any,
    visits: Frames,
    batches: list[tuple[list[int], float]],
    kind: str,
) -> None:
    """After each run the store holds what the source has, whatever the look-back and however it changes."""
    with tempfile.TemporaryDirectory() as folder:
        home = pipeline_in(Path(folder) / "home")
        rows = visits(0)
        for number, (minutes, lookback) in enumerate(batches):
            home.rules = rules(lookback_minutes=lookback)
            more = visits(len(minutes), shops=max(len(minutes), 1)).assign(
                count=range(len(rows), len(rows) + len(minutes))
            )
            more["shop"] = more["count"]  # no row contradicts another
            written = [home.now - timedelta(days=7) + timedelta(minutes=minute) for minute in minutes]
            more["created"] = more["event_timestamp"] = pd.Series(written, dtype="datetime64[us, UTC]")
            rows = pd.concat([rows, more])
            if kind == "table":
                source = add(more, f"sqlite:///{folder}/v.db")
            else:
                source = f"{folder}/v.csv"
                rows.to_csv(source, index=False)
            outcome = home.ingest(source, f"r{number}")
            assert outcome["rows_at_source"] == len(rows)
            home.publish(f"r{number}")
            home.advance(f"r{number}")
            stored = set(home.stored()["count"]) if len(rows) else set()
            assert stored == set(rows["count"])


def test_a_source_that_does_not_come_out_even_is_tried_again() -> None:
    account = Account(at_source=5, read=3)
    account.pass_over("older", 1)
    with pytest.raises(TransientError, match=r"t has 5 rows, but 3 were read and 1 passed over"):
        account.balance("t")


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_file_that_changes_while_it_is_read(pipeline: Any, tmp_path: Path, visits: Frames, ending: str) -> None:
    file, other = tmp_path / f"v.{ending}", tmp_path / f"w.{ending}"
    for place, rows in ((file, visits(40)), (other, visits(48))):
        rows.to_csv(place, index=False) if ending == "csv" else rows.to_parquet(place, index=False)
    (source,) = locate(str(file), None)
    source.columns()
    other.replace(file)  # as an export that ends at that moment does
    with pytest.raises(TransientError, match=f"v.{ending} was changed while it was read"):
        list(source.read(pipeline.asked(source), Account()))
    assert pipeline.ingest(file)["rows"] == 48


def test_a_file_that_is_gone_since_its_folder_was_listed(pipeline: Any, tmp_path: Path, visits: Frames) -> None:
    for name in ("a.csv", "b.csv"):
        visits(4).to_csv(tmp_path / name, index=False)
    sources = locate(str(tmp_path), None)
    (tmp_path / "b.csv").unlink()
    with pytest.raises(TransientError, match=r"b\.csv was there a moment ago"):
        [source.columns() for source in sources]


def test_each_file_of_a_folder_is_known_by_itself(pipeline: Any, tmp_path: Path, visits: Frames) -> None:
    folder = tmp_path / "exports"
    folder.mkdir()
    rows = visits(12)
    for number in range(3):
        rows[4 * number : 4 * number + 4].to_csv(folder / f"{number}.csv", index=False)
    assert pipeline.through(folder)["rows_new"] == 12
    visits(14)[12:].to_csv(folder / "3.csv", index=False)
    (folder / "notes.xlsx").write_text("x")
    (folder / "_SUCCESS").write_text("")
    (folder / ".hidden.doc").write_text("")
    outcome = pipeline.ingest(folder, "r2")
    assert [source["rows"] for source in outcome["sources"]] == [0, 0, 0, 2]
    assert outcome["files_passed_over"] == [str(folder / "notes.xlsx")]
    assert "notes.xlsx" in outcome["warnings"][0]
    assert (outcome["rows_at_source"], outcome["rows"]) == (14, 2)


def test_a_header_without_rows_is_no_news(pipeline: Any, tmp_path: Path, visits: Frames) -> None:
    visits(0).to_csv(tmp_path / "v.csv", index=False)
    outcome = pipeline.through(tmp_path / "v.csv")
    assert (outcome["rows_in"], outcome["rows_new"]) == (0, 0)
    visits(4).to_csv(tmp_path / "v.csv", index=False)
    assert pipeline.through(tmp_path / "v.csv", "r2")["rows_new"] == 4


@pytest.mark.parametrize("kind", ["file", "database"])
def test_an_interval_moves_nothing_and_comes_out_even(
    pipeline: Any, tmp_path: Path, visits: Frames, source_file: Files, kind: str
) -> None:
    rows = visits()
    source = source_file(rows) if kind == "file" else add(rows, f"sqlite:///{tmp_path / 'v.db'}")
    first: datetime = rows["created"].iloc[0].to_pydatetime()
    seen = source_of(pipeline.ingest(source, "r1", Interval(first, first + timedelta(hours=1))))
    assert (seen["rows"], seen["rows_not_read"], seen["rows_at_source"]) == (
        2,
        {"arrived outside the interval": 46},
        48,
    )
    assert seen["watermark"] is None
