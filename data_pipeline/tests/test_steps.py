"""The three steps one after another, on real files and databases."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from data_pipeline.publishing.offline_files import day_files, publishing
from twinserve.errors import BadInput, PermanentError, StepMissing, TransientError

Frames = Callable[..., pd.DataFrame]
Files = Callable[..., Path]


def table_of(frame: pd.DataFrame, url: str, how: str = "append") -> str:
    """Write the rows as the table `visits`."""
    engine = sa.create_engine(url)
    frame.to_sql("visits", engine, if_exists=how, index=False)  # type: ignore[arg-type]
    engine.dispose()
    return url


def test_good_rows_arrive_as_declared(pipeline: Any, visits: Frames, source_file: Files) -> None:
    outcome = pipeline.through(source_file(visits(96)))
    assert (outcome["rows_in"], outcome["rows_good"], outcome["rows_new"], outcome["rows_bad"]) == (96, 96, 96, 0)
    files = sorted(pipeline.view.path.rglob("*.parquet"))
    assert [file.parent.name for file in files] == ["day=2026-03-08", "day=2026-03-09", "day=2026-03-10"]
    schema = pq.read_schema(files[0])
    assert schema.equals(
        pa.schema(
            {"shop": pa.int64(), "rate": pa.float32(), "count": pa.int64(),
             "event_timestamp": pa.timestamp("us", "UTC"), "created": pa.timestamp("us", "UTC")}
        )
    )  # fmt: skip
    assert schema.metadata is None
    stored = pipeline.stored()
    assert stored["rate"].tolist() != []
    assert (stored.groupby("event_timestamp").size() == 2).all()


@pytest.mark.parametrize("ending", ["csv", "tsv", "csv.gz", "parquet"])
def test_the_kind_of_file_makes_no_difference(pipeline_in: Any, tmp_path: Path, visits: Frames, ending: str) -> None:
    file, plain = tmp_path / f"v.{ending}", tmp_path / "plain.parquet"
    visits().to_parquet(plain, index=False)
    if ending == "parquet":
        visits().to_parquet(file, index=True)
    else:
        visits().to_csv(file, index=False, sep="\t" if ending == "tsv" else ",")
    one, other = pipeline_in(tmp_path / "one"), pipeline_in(tmp_path / "other")
    one.through(file)
    other.through(plain)
    assert one.store_bytes() == other.store_bytes()


@pytest.mark.integration
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_databases_give_the_same_bytes_as_a_file(
    pipeline_in: Any, tmp_path: Path, visits: Frames, request: pytest.FixtureRequest, database: str
) -> None:
    lite = f"sqlite:///{tmp_path / 'v.db'}"
    url = table_of(visits(), lite if database == "sqlite" else request.getfixturevalue("postgres_url"))
    visits().to_parquet(tmp_path / "v.parquet", index=False)
    one, other = pipeline_in(tmp_path / "one"), pipeline_in(tmp_path / "other")
    outcome = one.through(url)
    other.through(tmp_path / "v.parquet")
    assert one.store_bytes() == other.store_bytes()
    assert "tops3cret" not in str(outcome) + str(one.run("r1").outcome("ingest"))


def test_a_second_run_pulls_the_look_back_and_changes_nothing(pipeline: Any, tmp_path: Path, visits: Frames) -> None:
    url = table_of(visits(), f"sqlite:///{tmp_path / 'v.db'}")
    pipeline.through(url)
    before = {file: file.stat().st_mtime_ns for file in pipeline.view.path.rglob("*.parquet")}
    outcome = pipeline.through(url, "r2")
    assert outcome["rows_in"] == 4  # the last hour and the one at its edge
    assert (outcome["rows_new"], outcome["rows_already_stored"], outcome["days_written"]) == (0, 4, 0)
    assert {file: file.stat().st_mtime_ns for file in pipeline.view.path.rglob("*.parquet")} == before


def test_late_rows_and_ties_with_the_watermark_arrive(pipeline: Any, tmp_path: Path, visits: Frames) -> None:
    rows = visits(48)
    url = table_of(rows[:40], f"sqlite:///{tmp_path / 'v.db'}")
    pipeline.through(url)
    last = rows["created"][39]
    late = rows[40:].assign(created=[last, last - timedelta(minutes=59), *[last + timedelta(hours=1)] * 6])
    table_of(late, url)
    outcome = pipeline.through(url, "r2")
    assert outcome["rows_new"] == 8
    assert len(pipeline.stored()) == 48


def test_the_watermark_moves_only_when_all_is_published(pipeline: Any, source_file: Files, visits: Frames) -> None:
    file = source_file(visits())
    pipeline.ingest(file)
    pipeline.clean()
    assert pipeline.ingest(file, "r2")["rows"] == 48
    pipeline.validate()
    again = pipeline.ingest(file, "r3")
    assert (again["rows"], sum(again["rows_not_read"].values())) == (0, 48)


def test_the_watermark_stays_behind_the_clock(pipeline: Any, source_file: Files, visits: Frames) -> None:
    rows = visits()
    rows.loc[47, "created"] = pd.Timestamp(pipeline.now) + pd.Timedelta(days=300)
    file = source_file(rows)
    outcome = pipeline.through(file)
    assert outcome["bad_by_reason"] == {"created: in the future": 1}
    again = pipeline.through(file, "r2")
    assert (again["rows_bad"], again["newly_quarantined"]) == (1, 0)
    assert len(pipeline.quarantined()) == 1
    pipeline.now += timedelta(days=301)
    assert pipeline.through(file, "r3")["rows_new"] == 1
    assert pipeline.through(file, "r4")["rows_in"] == 0


def test_each_defect_is_set_aside_with_its_reason(pipeline: Any, source_file: Files, visits: Frames) -> None:
    rows = visits(48).astype({"rate": object, "count": object, "shop": object})
    rows = rows.map(lambda value: value if not isinstance(value, pd.Timestamp) else value.isoformat()).astype(object)
    rows.loc[0, "rate"] = "1.5"
    rows.loc[1, "rate"] = "-0.1"
    rows.loc[2, "rate"] = "fast"
    rows.loc[3, "shop"] = None
    rows.loc[4, "event_timestamp"] = "2027-01-01T00:00:00Z"
    rows.loc[5, "event_timestamp"] = "yesterday"
    rows.loc[6, "event_timestamp"] = None
    rows.loc[7, "count"] = "2.5"
    rows = pd.concat([rows, rows[40:41]])
    outcome = pipeline.through(source_file(rows.astype("string")))
    assert outcome["bad_by_reason"] == {
        "count: not a whole number of 64 bits": 1,
        "event_timestamp: in the future": 1,
        "event_timestamp: missing": 1,
        "event_timestamp: not a time": 1,
        "rate: above 1": 1,
        "rate: below 0": 1,
        "rate: not a finite number": 1,
        "shop: missing": 1,
    }
    assert (outcome["rows_bad"], outcome["duplicates"], outcome["rows_good"]) == (8, 1, 40)
    assert outcome["rows_in"] == outcome["rows_bad"] + outcome["duplicates"] + outcome["rows_good"]
    kept = {json.loads(row["original"])["rate"]: row["reasons"] for row in pipeline.quarantined()}
    assert kept["fast"] == ["rate: not a finite number"]
    assert kept["1.5"] == ["rate: above 1"]


def test_a_row_with_two_defects_is_one_row_with_two_reasons(pipeline: Any, source_file: Files, visits: Frames) -> None:
    rows = visits()
    rows.loc[0, "rate"] = 2.0
    rows.loc[0, "created"] = pd.Timestamp(pipeline.now) + pd.Timedelta(days=1)
    outcome = pipeline.through(source_file(rows))
    assert outcome["rows_bad"] == 1
    (row,) = pipeline.quarantined()
    assert sorted(row["reasons"]) == ["created: in the future", "rate: above 1"]


@pytest.mark.parametrize(("nullable", "bad"), [(True, 0), (False, 2)])
def test_nulls(pipeline: Any, source_file: Files, visits: Frames, rules: Any, nullable: bool, bad: int) -> None:
    pipeline.rules = rules(checks={"columns": {"rate": {"min": 0, "nullable": nullable}}})
    rows = visits()
    rows.loc[[0, 5], "rate"] = None
    outcome = pipeline.through(source_file(rows))
    assert outcome["bad_by_reason"] == ({"rate: null": 2} if bad else {})
    assert pipeline.stored()["rate"].isna().sum() == 2 - bad


def test_an_allowed_null_of_an_integer_stays_an_integer_column(
    pipeline: Any, source_file: Files, visits: Frames
) -> None:
    rows = visits().astype({"count": "float64"})
    rows.loc[0, "count"] = None
    pipeline.through(source_file(rows))
    table = pq.read_table(next(pipeline.view.path.rglob("*.parquet")), partitioning=None)
    assert table["count"].type == pa.int64()
    assert table["count"].null_count == 1


def test_a_bad_row_pulled_again_is_kept_once(pipeline: Any, source_file: Files, visits: Frames) -> None:
    rows = visits()
    rows.loc[47, "rate"] = 7.0
    file = source_file(rows)
    assert pipeline.through(file)["newly_quarantined"] == 1
    file = source_file(pd.concat([rows, rows[:1]]))  # the same file with one row more is read whole
    again = pipeline.through(file, "r2")
    assert (again["rows_bad"], again["newly_quarantined"]) == (1, 0)
    assert len(pipeline.quarantined()) == 1


def test_too_many_bad_rows_publish_nothing_however_often(
    pipeline: Any, source_file: Files, visits: Frames, rules: Any
) -> None:
    pipeline.rules = rules(checks={"max_bad_fraction": 0.05})
    rows = visits()
    rows.loc[:3, "rate"] = 7.0
    for key in ("r1", "r1", "r2"):
        with pytest.raises(PermanentError, match=r"8\.33% of the rows are bad, 5\.00% allowed"):
            pipeline.through(source_file(rows), key)
    assert not pipeline.view.path.exists()
    assert pipeline.quarantined() == []
    assert pipeline.watermarks.read("visits", str(source_file(rows)), "created") is None
    assert pq.read_table(pipeline.run("r1").refused).num_rows == 4
    assert "refused, nothing published" in (pipeline.root / "reports" / "r1.html").read_text()


@pytest.mark.parametrize("on_failure", ["warn", "fail"])
def test_freshness(pipeline: Any, source_file: Files, visits: Frames, rules: Any, on_failure: str) -> None:
    pipeline.rules = rules(checks={"freshness": {"max_age_hours": 5, "on_failure": on_failure}})
    file = source_file(visits())  # its last event is 25 hours old
    if on_failure == "fail":
        with pytest.raises(PermanentError, match=r"25\.0 h ago, 5 h allowed"):
            pipeline.through(file)
    else:
        assert "25.0 h ago" in pipeline.through(file)["warnings"][0]


def test_a_source_gone_quiet_is_noticed_though_no_row_comes(
    pipeline: Any, source_file: Files, visits: Frames, rules: Any
) -> None:
    pipeline.rules = rules(checks={"freshness": {"max_age_hours": 30}})
    assert pipeline.through(source_file(visits()))["warnings"] == []
    pipeline.now += timedelta(hours=6)
    assert pipeline.through(source_file(visits()[:0], "none.parquet"), "r2")["warnings"] != []


def test_volume(pipeline: Any, source_file: Files, visits: Frames, rules: Any) -> None:
    pipeline.rules = rules(checks={"min_rows": 49})
    with pytest.raises(PermanentError, match="48 rows pulled, at least 49 expected"):
        pipeline.through(source_file(visits()))


@pytest.mark.parametrize("level", ["warn", {"min_rows": "warn", "max_bad_fraction": "warn"}])
def test_volume_and_bad_rows_may_warn_only(
    pipeline: Any, source_file: Files, visits: Frames, rules: Any, level: Any
) -> None:
    pipeline.rules = rules(checks={"min_rows": 49, "max_bad_fraction": 0.05, "on_failure": level})
    rows = visits()
    rows.loc[:3, "rate"] = 7.0
    outcome = pipeline.through(source_file(rows))
    assert (outcome["rows_new"], outcome["newly_quarantined"]) == (44, 4)
    assert len(outcome["warnings"]) == 2
    assert "passed with a warning" in Path(outcome["report"]).read_text()


def test_a_level_by_name_leaves_the_other_as_it_is(
    pipeline: Any, source_file: Files, visits: Frames, rules: Any
) -> None:
    pipeline.rules = rules(checks={"min_rows": 49, "on_failure": {"max_bad_fraction": "warn"}})
    with pytest.raises(PermanentError, match="48 rows pulled"):
        pipeline.through(source_file(visits()))


def test_no_new_rows_is_no_failure(pipeline: Any, source_file: Files, visits: Frames) -> None:
    outcome = pipeline.through(source_file(visits()[:0]))
    assert (outcome["rows_in"], outcome["rows_new"], outcome["days_written"]) == (0, 0, 0)
    assert Path(outcome["report"]).exists()


def test_naive_times_are_taken_as_utc_and_counted(pipeline: Any, source_file: Files, visits: Frames) -> None:
    rows = visits()
    rows["created"] = rows["created"].dt.tz_localize(None)
    outcome = pipeline.through(source_file(rows))
    assert outcome["naive_times_as_utc"] == {"created": 48}
    assert "48 times in created name no zone" in Path(outcome["report"]).read_text()


def test_old_files_with_their_own_names_and_an_index(pipeline: Any, tmp_path: Path, visits: Frames, rules: Any) -> None:
    """`datetime` for the event time, naive `created`, an index column, three rows that are one."""
    pipeline.rules = rules(rename={"datetime": "event_timestamp"})
    rows = visits().rename(columns={"event_timestamp": "datetime"})
    rows["created"] = rows["created"].dt.tz_localize(None)
    rows = pd.concat([rows, rows[20:21], rows[20:21]])
    rows.to_parquet(tmp_path / "old.parquet")
    outcome = pipeline.through(tmp_path / "old.parquet")
    assert (outcome["rows_in"], outcome["duplicates"], outcome["rows_new"]) == (50, 2, 48)


def test_a_file_without_a_feature_is_refused(pipeline: Any, source_file: Files, visits: Frames) -> None:
    with pytest.raises(BadInput, match="no column count for the feature view visits"):
        pipeline.ingest(source_file(visits().drop(columns="count")))


def test_steps_out_of_order(pipeline: Any, source_file: Files, visits: Frames) -> None:
    with pytest.raises(StepMissing, match="data-pipeline ingest --run-key r1"):
        pipeline.clean()
    with pytest.raises(StepMissing, match="data-pipeline clean --run-key r1"):
        pipeline.validate()
    file = source_file(visits())
    pipeline.through(file)
    pipeline.ingest(file)  # what clean made of the rows before is of no more use
    with pytest.raises(StepMissing, match="data-pipeline clean --run-key r1"):
        pipeline.validate()


def test_a_new_feature_is_null_in_the_days_that_were_stored_before(
    pipeline_in: Any, tmp_path: Path, source_file: Files, visits: Frames
) -> None:
    home = pipeline_in(tmp_path / "home")
    home.through(source_file(visits(4)))
    for file in home.view.path.rglob("*.parquet"):
        pq.write_table(pq.read_table(file, partitioning=None).drop_columns(["count"]), file)
    home.through(source_file(visits(8)[4:], "more.parquet"), "r2")
    assert home.stored()["count"].isna().sum() == 4
    assert len(home.stored()) == 8


def test_two_runs_do_not_publish_one_view_at_once(pipeline: Any, source_file: Files, visits: Frames) -> None:
    pipeline.ingest(source_file(visits()))
    pipeline.clean()
    with publishing(pipeline.root / "lock"), pytest.raises(TransientError, match=r"publishing under .* is at work"):
        pipeline.validate()
    assert pipeline.validate()["rows_new"] == 48


def test_a_damaged_watermark_says_what_to_do(pipeline: Any, source_file: Files, visits: Frames) -> None:
    file = source_file(visits())
    pipeline.through(file)
    next((pipeline.root / "watermarks").rglob("*.json")).write_text("{")
    with pytest.raises(PermanentError, match="Delete it"):
        pipeline.ingest(file, "r2")


def test_the_report_escapes_what_the_source_says(pipeline: Any, source_file: Files, visits: Frames) -> None:
    rows = visits().astype({"rate": object})
    rows.loc[0, "rate"] = "<script>alert(1)</script>"
    outcome = pipeline.through(source_file(rows.astype({"rate": "string"})))
    page = Path(outcome["report"]).read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "http" not in page.replace("http-equiv", "")


def test_the_same_run_again_gives_the_same_bytes(pipeline: Any, source_file: Files, visits: Frames) -> None:
    rows = visits()
    rows.loc[0, "rate"] = 7.0
    first = pipeline.through(source_file(rows))
    stored, report = pipeline.store_bytes(), Path(first["report"]).read_bytes()
    again = pipeline.validate()
    assert pipeline.store_bytes() == stored
    assert Path(again["report"]).read_bytes() == report
    assert again["newly_quarantined"] == 1
    assert len(pipeline.quarantined()) == 1


@pytest.mark.parametrize("name", ["day=2026-02-30", "day=__HIVE_DEFAULT_PARTITION__", "day=2026-03-08 copy"])
def test_a_folder_that_is_no_day_is_left_alone(pipeline: Any, source_file: Files, visits: Frames, name: str) -> None:
    pipeline.through(source_file(visits(4)), "first")
    days = day_files(pipeline.view)
    strange = pipeline.view.path / name
    shutil.copytree(next(iter(days.values())).parent, strange)
    before = next(strange.iterdir()).read_bytes()
    pipeline.now += timedelta(minutes=1)
    assert pipeline.through(source_file(visits(5)), "second")["rows_new"] == 1
    assert next(strange.iterdir()).read_bytes() == before
    assert list(day_files(pipeline.view)) == list(days)
