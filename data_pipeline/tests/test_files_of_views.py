"""`file:` in sources.yaml: a file, a folder or a pattern for each view, read by one command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from data_pipeline.reading.locate import locate
from twinserve.errors import BadInput, ExitCode

VIEWS = """
from feast import Entity, FeatureView, Field
from feast.types import Float32, Int64
from feast import ValueType
from twinserve.features.sources import offline_source

shop = Entity(name="shop", join_keys=["shop"], value_type=ValueType.INT64)
visits = FeatureView(name="visits", entities=[shop], schema=[Field(name="shop", dtype=Int64),
    Field(name="rate", dtype=Float32)], source=offline_source("visits"))
counts = FeatureView(name="counts", entities=[shop], schema=[Field(name="shop", dtype=Int64),
    Field(name="count", dtype=Int64)], source=offline_source("counts"))
"""


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visits: Callable[..., pd.DataFrame]) -> Path:
    """A feature repo with two views, and the files of one export beside it."""
    folder = tmp_path / "repo"
    (folder / "exports" / "old").mkdir(parents=True)
    (folder / "feature_store.yaml").write_text(
        (Path(__file__).parents[1] / "feature_repo" / "feature_store.yaml").read_text()
    )
    (folder / "definitions.py").write_text(VIEWS)
    visits(8).to_csv(folder / "exports" / "a.csv", index=False)
    visits(12)[8:].to_parquet(folder / "exports" / "old" / "b.parquet", index=False)
    monkeypatch.setenv("TWINSERVE_FEATURE_REPO", str(folder))
    return folder


def sources(repo: Path, visits: str, counts: str) -> None:
    (repo / "sources.yaml").write_text(f"views:\n  visits: {{file: '{visits}'}}\n  counts: {{{counts}}}\n")


@pytest.mark.parametrize(
    ("place", "rows"),
    [("exports", 12), ("exports/a.csv", 8), ("exports/*.csv", 8), ("exports/**/*.parquet", 4), ("exp*", 12)],
)
def test_one_command_reads_all_views(command: Callable[..., Any], repo: Path, place: str, rows: int) -> None:
    sources(repo, place, f"file: '{repo / 'exports'}'")
    found = command("ingest", "--run-key", "r1").out["views"]
    assert {name: view["rows"] for name, view in found.items()} == {"visits": rows, "counts": 12}
    command("clean", "--run-key", "r1")
    published = command("explore-and-validate", "--run-key", "r1").out
    assert published["updated"]["rows"] == rows + 12
    again = command("ingest", "--run-key", "r2").out["views"]
    assert {name: view["rows"] for name, view in again.items()} == {"visits": 0, "counts": 0}
    everything = command("ingest", "--run-key", "r3", "--full").out["views"]
    assert {name: view["rows"] for name, view in everything.items()} == {"visits": rows, "counts": 12}


def test_one_folder_feeds_several_views_by_option_too(command: Callable[..., Any], repo: Path) -> None:
    sources(repo, "nowhere", "table: counts")
    found = command("ingest", "--run-key", "r1", "--source", str(repo / "exports")).out["views"]
    assert {name: view["rows"] for name, view in found.items()} == {"visits": 12, "counts": 12}


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("gone.csv", "no file or folder"),
        ("exports/*.tsv", "no file fits"),
        ("exports/[ab].txt", "no file fits"),
        ("exports/o*/c.csv", "no file fits"),
    ],
)
def test_what_is_not_there_is_named(command: Callable[..., Any], repo: Path, place: str, said: str) -> None:
    sources(repo, place, "table: counts")
    result = command("ingest", "--run-key", "r1", "--view", "visits")
    assert result.code == ExitCode.PERMANENT
    assert f"{said} {repo / place}" in result.err


def test_a_database_for_a_view_of_files_is_refused(command: Callable[..., Any], repo: Path, tmp_path: Path) -> None:
    sources(repo, "exports", "table: counts")
    result = command("ingest", "--run-key", "r1", "--view", "visits", "--source", f"sqlite:///{tmp_path / 'x.db'}")
    assert "sources.yaml names a `file`" in result.err


def test_a_name_with_the_signs_of_a_pattern_is_a_name(tmp_path: Path) -> None:
    (tmp_path / "a[1].csv").write_text("x\n1\n")
    (tmp_path / "a1.csv").write_text("x\n1\n")
    assert [source.name for source in locate(str(tmp_path / "a[1].csv"), None)] == [str(tmp_path / "a[1].csv")]


def test_a_pattern_names_each_file_once_and_no_hidden_one(tmp_path: Path) -> None:
    for name in ("a.csv", "b.parquet", ".c.csv", "d.xlsx"):
        (tmp_path / name).write_text("x\n1\n")
    assert [Path(source.name).name for source in locate(str(tmp_path / "[ab]*"), None)] == ["a.csv", "b.parquet"]
    with pytest.raises(BadInput, match=r"d\.xlsx is of no known kind"):
        locate(str(tmp_path / "*"), None)


def test_full_and_an_interval_exclude_each_other(command: Callable[..., Any], repo: Path) -> None:
    sources(repo, "exports", "table: counts")
    days = ("--since", "2026-03-01", "--until", "2026-03-02")
    assert "Give one or the other" in command("ingest", "--run-key", "r1", "--full", *days).err


def test_the_json_of_a_run_says_what_was_not_read(command: Callable[..., Any], repo: Path) -> None:
    sources(repo, "exports", "file: exports/a.csv")
    (repo / "exports" / "notes.docx").write_text("x")
    out = command("ingest", "--run-key", "r1").out
    assert "notes.docx" in json.dumps(out["warnings"])
    for view in out["views"].values():
        assert view["rows_at_source"] == view["rows"] + sum(view["rows_not_read"].values())


def test_the_views_of_a_run_go_on_together(command: Callable[..., Any], repo: Path) -> None:
    (repo / "exports" / "bad.csv").write_text("shop\n1\n")
    sources(repo, "exports/bad.csv", "file: exports/a.csv")
    assert command("ingest", "--run-key", "r1").code == ExitCode.PERMANENT  # after counts, whose rows are there
    refused = command("clean", "--run-key", "r1")
    assert refused.code == ExitCode.PERMANENT
    assert "run 'r1' was begun with visits too, of which it has no output of ingest" in refused.err
    sources(repo, "exports/a.csv", "file: exports/a.csv")
    command("ingest", "--run-key", "r1")
    assert set(command("clean", "--run-key", "r1").out["views"]) == {"visits", "counts"}


def test_what_was_corrected_by_a_file_of_later_stays_so_when_all_are_read_anew(
    command: Callable[..., Any], repo: Path, visits: Callable[..., pd.DataFrame]
) -> None:
    def through(key: str, *words: str) -> dict[str, Any]:
        command("ingest", "--run-key", key, *words)
        command("clean", "--run-key", key)
        done = command("explore-and-validate", "--run-key", key)
        assert done.code == 0, done.err
        return dict(done.out)

    sources(repo, "exports/*.csv", f"file: '{repo / 'exports' / 'old'}'")
    (repo / "exports" / "a.csv").rename(repo / "exports" / "base.csv")
    through("r1")
    visits(1).assign(rate=0.99).to_csv(repo / "exports" / "a_correction.csv", index=False)
    assert through("r2")["updated"]["rows"] == 1
    assert through("r3", "--full")["updated"]["rows"] == 0
    visits(1).assign(rate=0.5).to_csv(repo / "exports" / "base_2.csv", index=False)
    through("r4")
    content = (repo / "exports" / "a_correction.csv").read_text()
    (repo / "exports" / "a_correction.csv").write_text(content.replace("0.99", "0.77"))
    assert through("r5")["updated"]["rows"] == 1, "what is written anew is read later"
    assert through("r6", "--full")["updated"]["rows"] == 0
