"""Online results: rows and ratios, the file, the page, the choice of cases; what is asked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.online.cases import CASES, NARROW, chosen
from benchmarks.online.contestants import ALL, OURS, PLAIN
from benchmarks.online.contestants import chosen as chosen_names
from benchmarks.online.load import Load
from benchmarks.online.measured import Figures, OnlineResults
from benchmarks.online.publish import publish
from benchmarks.online.repo import feature_names, write_params, write_repo
from benchmarks.online.requests import bodies, write_bodies
from benchmarks.online.show import line
from benchmarks.online.table import headings, markdown, rows
from benchmarks.publish import PAGE, replaced
from twinserve.errors import BadInput

MACHINE = {"processor": "a processor, 2 cores", "memory": "4 GiB", "system": "S", "python": "3", "libraries": "l 1"}
FAST = Load(1000, 1.0, 0, 0.001, 0.002, 0.004, 0.005, service_share=0.8, server_bytes=10**8)
SLOW = Load(100, 2.0, 1, 0.05, 0.1, 0.2, 0.3, server_bytes=3 * 10**8)
FIVE = chosen("5", quick=False)[0]
START = chosen("start", quick=False)[0]
FIGURES = (
    Figures("5", "ours", "Twinserve", ours=True, loads=(SLOW, FAST)),
    Figures("5", "bentoml-plain", "BentoML", loads=(SLOW,)),
    Figures("5", "fastapi-feast", "FastAPI", absent="failed"),
    Figures("start", "ours", "Twinserve", ours=True, ready_seconds=(3.0, 2.0), ready_bytes=(10**8, 2 * 10**8)),
    Figures("start", "bentoml-plain", "BentoML", ready_seconds=(8.0,), ready_bytes=(4 * 10**8,)),
    Figures("tail", "ours", "Twinserve", ours=True, loads=(FAST,)),
)
RESULTS = OnlineResults("make bench-online", MACHINE, "2026-01-02T03:04:05+00:00", FIGURES)


def row(case: str, service: str) -> dict[str, str]:
    chosen_work = chosen(case, quick=False)[0]
    found = next(each for each in rows(chosen_work, FIGURES) if each[0] == service)
    return dict(zip(headings(chosen_work), found, strict=True))


def test_the_best_run_counts_and_ratios_are_against_ours() -> None:
    theirs = row("5", "BentoML")
    assert theirs["requests a second"] == "49.5"
    assert theirs["ours, times as many"] == "20.2\N{MULTIPLICATION SIGN}"
    assert theirs["ours, times lower p99"] == "50.0\N{MULTIPLICATION SIGN}"
    assert theirs["errors"] == "1"


def test_processor_time_is_told_by_the_request() -> None:
    own = [each if each.contestant != "ours" else replace(each, loads=(FAST,)) for each in FIGURES]
    found = dict(zip(headings(FIVE), rows(FIVE, own)[0], strict=True))
    assert found["service, processor time a request"] == "800 µs"


def test_the_memory_of_the_largest_run_counts() -> None:
    assert row("5", "Twinserve")["peak memory"] == "300 MB"


def test_who_failed_has_no_figure() -> None:
    cells = row("5", "FastAPI")
    assert cells.pop("service") == "FastAPI"
    assert cells.pop("requests a second") == "- (failed)"
    assert set(cells.values()) == {"-"}


def test_the_tail_is_set_against_the_median() -> None:
    found = row("tail", "Twinserve")
    assert (found["p99.9 by p50"], found["longest pause"]) == ("4.00", "5.00 ms")


def test_the_soonest_start_counts() -> None:
    assert row("start", "Twinserve")["ready after"] == "2.00 s"
    assert row("start", "BentoML")["ours, times as soon"] == "4.00\N{MULTIPLICATION SIGN}"


def test_every_line_of_the_markdown_has_as_many_cells() -> None:
    lines = markdown(FIVE, FIGURES).splitlines()
    assert len(lines) == 5
    assert len({each.count("|") for each in lines}) == 1


def test_a_row_as_a_line_of_a_log() -> None:
    assert line(START, rows(START, FIGURES)[0]).startswith("start, Twinserve: ready after 2.00 s; ")


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    RESULTS.write(tmp_path / "r.json")
    assert OnlineResults.read(tmp_path / "r.json") == RESULTS


def test_sections_that_were_run_are_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("".join(f"<!-- bench {case.section} -->\nold\n<!-- end -->\n" for case in CASES))
    assert publish(RESULTS, page, tmp_path) == ["5", "tail", "start"]
    text = page.read_text()
    assert text.count("old") == len(CASES) - 3
    assert "`make bench-online` on 2026-01-02" in text
    assert (tmp_path / "bench-online-5.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_has_a_place_for_every_work() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for case in CASES:
        assert replaced(text, case.section, "marked") != text


def test_works_and_contestants_are_chosen_by_name() -> None:
    assert chosen("", quick=False) == CASES
    assert [case.name for case in chosen("tail, 5", quick=False)] == ["5", "tail"]
    assert [case.name for case in chosen("", quick=True)] == ["5", "start"]
    assert chosen_names("ours") == {OURS.name}
    assert {each.name for each in ALL} <= chosen_names("")
    with pytest.raises(BadInput, match="no case '6'"):
        chosen("6", quick=False)
    with pytest.raises(BadInput, match="no contestant 'flask'"):
        chosen_names("flask")


def test_contestants_are_told_apart() -> None:
    assert len({OURS, PLAIN, *ALL}) == len(ALL)


def test_requests_are_the_same_every_time_and_name_known_keys_once() -> None:
    asked = bodies(NARROW, 5)
    assert asked == bodies(NARROW, 5)
    for body in asked:
        keys = json.loads(body)["item_ids"]
        assert len(set(keys)) == 5
        assert all(1000 <= key < 1000 + NARROW.keys for key in keys)


def test_a_file_of_requests_has_one_a_line(tmp_path: Path) -> None:
    asked = bodies(NARROW, 5)
    assert write_bodies(tmp_path / "b", asked).read_bytes().splitlines() == asked


def test_a_repo_defines_as_many_features_as_asked_for(tmp_path: Path) -> None:
    write_repo(tmp_path, 50)
    text = (tmp_path / "definitions.py").read_text(encoding="utf-8")
    compile(text, "definitions.py", "exec")
    assert all(f'Field(name="{name}"' in text for name in feature_names(50))
    assert "project: benchmarks" in (tmp_path / "feature_store.yaml").read_text(encoding="utf-8")


def test_parameters_name_preset_and_labels(tmp_path: Path) -> None:
    write_params(tmp_path / "p.yaml", "elastic_net", tmp_path / "labels.parquet")
    text = (tmp_path / "p.yaml").read_text(encoding="utf-8")
    assert "estimator: elastic_net" in text
    assert str(tmp_path / "labels.parquet") in text
