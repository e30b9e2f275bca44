"""The line that ingest prints stays short, however long its source has been read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa

from data_pipeline.ingest_result import MOST, printed
from data_pipeline.tests.conftest import Pipeline

DETAILS = Path("ingest.json")


def test_a_table_of_years_is_told_in_one_short_line(pipeline: Pipeline, tmp_path: Path, visits: Any) -> None:
    rows = visits(2)
    start = rows["event_timestamp"].min()
    many = pd.concat([rows.assign(event_timestamp=start, created=start - pd.Timedelta(days=day)) for day in range(900)])
    engine = sa.create_engine(url := f"sqlite:///{tmp_path / 'source.db'}")
    many.to_sql("visits", engine, index=False)
    engine.dispose()
    outcome = pipeline.ingest(url)
    line = printed(outcome, DETAILS)
    assert len(json.dumps(outcome)) > 10_000, "what the next run compares with: rows by day"
    assert len(json.dumps(line)) < 2_000
    shown = ("rows", "rows_at_source", "rows_not_read", "path", "read_at")
    assert {name: line[name] for name in shown} == {name: outcome[name] for name in shown}
    (source,) = line["sources"]
    assert (source["rows"], source["reached"], source["since"]) == (len(many), outcome["sources"][0]["reached"], None)
    assert line["details"] == str(DETAILS)


def test_of_a_folder_of_files_those_with_rows_are_shown(pipeline: Pipeline, tmp_path: Path, visits: Any) -> None:
    folder = tmp_path / "exports"
    folder.mkdir()
    for number in range(30):
        visits(2).iloc[: 2 if number > 25 else 0].to_csv(folder / f"{number:02}.csv", index=False)
        (folder / f"{number:02}.doc").write_text("")
    line = printed(pipeline.ingest(folder), DETAILS)
    assert [Path(source["name"]).name[:2] for source in line["sources"]] == ["26", "27", "28", "29"]
    assert line["sources_not_shown"] == 26
    assert len(line["files_passed_over"]) == MOST + 1
    assert line["files_passed_over"][-1] == "and 20 more files passed over"


def test_the_command_prints_it(command: Callable[..., Any]) -> None:
    command("generate", "--drivers", "20", "--days", "3", "--orders", "100")
    said = command("ingest", "--run-key", "r1").out["views"]["driver_stats"]
    assert "watermark" not in said["sources"][0]
    whole = json.loads(Path(said["details"]).read_text())
    assert whole["sources"][0]["watermark"]
    assert (whole["rows"], whole["path"]) == (said["rows"], said["path"])
