"""The console script as a scheduler sees it: exit codes, one JSON line, one line for each error."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from twinserve.errors import ExitCode

Result = Any
SMALL = ("generate", "--drivers", "20", "--days", "3", "--orders", "100", "--dirt", "0.03")


@pytest.mark.integration
def test_from_nothing_to_the_online_store(command: Callable[..., Result], tmp_path: Path) -> None:
    generated = command(*SMALL).out
    pulled = command("ingest", "--run-key", "r1").out["views"]["driver_stats"]
    assert pulled["rows"] == generated["rows"]["driver_stats"]
    assert command("clean", "--run-key", "r1").out["views"]["driver_stats"]["duplicates"] > 0
    validated = command("explore-and-validate", "--run-key", "r1").out
    found = validated["views"]["driver_stats"]
    assert validated["updated"] == {"rows": found["rows_new"], "days": found["days_written"]}
    assert found["rows_bad"] > 0
    assert found["rows_new"] == found["rows_good"] > 1400
    assert Path(found["report"]).is_relative_to(tmp_path)
    assert command("apply").out["feature_services"] == ["driver_ranking"]
    materialized = command("materialize").out
    assert materialized["views"]["driver_stats"]["written"] == materialized["updated"]["keys"] == 20
    assert command("materialize", "--lookback-hours", "0").out["views"]["driver_stats"]["files_read"] == 0


def test_the_rows_of_an_interval(command: Callable[..., Result]) -> None:
    last = command(*SMALL).out["end"]
    since, until = str(datetime.fromisoformat(last) - timedelta(days=1)), last
    pulled = command("ingest", "--run-key", "r1", "--since", since, "--until", until).out["views"]["driver_stats"]
    assert 0 < pulled["rows"] < command("ingest", "--run-key", "r2").out["views"]["driver_stats"]["rows"]
    assert [source["reached"] for source in pulled["sources"]] == [None]
    assert "go together" in command("ingest", "--run-key", "r3", "--since", since).err


def test_another_world_is_refused_once_the_first_is_published(command: Callable[..., Result]) -> None:
    command(*SMALL)
    for step in ("ingest", "clean", "explore-and-validate"):
        assert command(step, "--run-key", "r1").code == 0
    refused = command(*SMALL, "--seed", "8")
    assert refused.code == ExitCode.PERMANENT
    assert "mixture" in refused.err
    assert not command(*SMALL).out["written"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("ingest", "--run-key", "r1"), "StepMissing: no source database"),
        (("clean", "--run-key", "r1"), "Run `data-pipeline ingest --run-key r1` first"),
        (("explore-and-validate", "--run-key", "r1"), "Run `data-pipeline clean --run-key r1` first"),
        (("ingest", "--run-key", "r1", "--view", "nope"), "no feature view 'nope'. Choose one of driver_stats"),
        (("ingest", "--run-key", "r1", "--source", "nope.csv"), "no file or folder nope.csv"),
        (("ingest", "--run-key", "x" * 300), "can't name a folder"),
        (("generate", "--drivers", "0"), "--drivers 0 is out of range"),
        (("generate", "--orders", "-5"), "--orders -5 is out of range"),
        (("generate", "--end", "2999-01-01"), "in the future"),
    ],
)
def test_user_errors_are_one_line(command: Callable[..., Result], words: tuple[str, ...], message: str) -> None:
    result = command(*words)
    assert result.code == ExitCode.PERMANENT
    assert message in result.err
    assert "Traceback" not in result.err
    assert len(result.err.strip().splitlines()) == 1


@pytest.mark.parametrize("words", [("ingest",), ("generate", "--drivers", "many"), ("fly",)])
def test_a_wrong_command_line(command: Callable[..., Result], words: tuple[str, ...]) -> None:
    assert command(*words).code == ExitCode.USAGE


def test_a_database_that_is_gone_is_worth_a_retry(
    command: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWINSERVE_SOURCE_URL", "postgresql://someone:tops3cret@127.0.0.1:1/db")
    result = command("ingest", "--run-key", "r1")
    assert result.code == ExitCode.TRANSIENT
    assert "tops3cret" not in result.err
