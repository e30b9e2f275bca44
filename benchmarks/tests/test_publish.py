"""Results on disk, in the page and as a picture."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.cases.catalogue import catalogue, chosen
from benchmarks.cases.join import JOIN
from benchmarks.contest import Answer
from benchmarks.measurement import Measurement, Results
from benchmarks.publish import PAGE, publish, replaced
from benchmarks.race import wrong
from twinserve.errors import BadInput

MACHINE = {"processor": "a processor, 2 cores", "memory": "4 GiB", "system": "S", "python": "3", "libraries": "l 1"}
RIGHT = Answer(1000, ordered=True)
FIGURES = (
    Measurement("join", 1000, "Twinserve", True, False, (0.5,), (10**8,), 0, RIGHT),
    Measurement("join", 1000, "Feast file store", False, False, (5.0,), (10**9,), 0, Answer(990, 10)),
    Measurement("join", 1000, "pandas merge_asof", absent="not run at this size"),
)
RESULTS = Results("make bench", MACHINE, "2026-01-02T03:04:05+00:00", FIGURES)


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    RESULTS.write(tmp_path / "r.json")
    assert Results.read(tmp_path / "r.json") == RESULTS


def test_a_section_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("top\n<!-- bench join -->\nold\n<!-- end -->\n<!-- bench batch -->\nkept\n<!-- end -->\n")
    assert publish(RESULTS, (JOIN,), page, tmp_path) == ["join"]
    text = page.read_text()
    assert "old" not in text
    assert text.endswith("<!-- bench batch -->\nkept\n<!-- end -->\n")
    assert "10.0\N{MULTIPLICATION SIGN}" in text
    assert "10 rows lost" in text
    assert "`make bench` on 2026-01-02" in text
    assert "a processor, 2 cores" in text
    assert (tmp_path / "bench-join.png").read_bytes().startswith(b"\x89PNG")
    once = page.read_bytes()
    publish(RESULTS, (JOIN,), page, tmp_path)
    assert page.read_bytes() == once


def test_a_page_without_the_place_is_refused() -> None:
    with pytest.raises(BadInput, match="no section 'join'"):
        replaced("nothing here", "join", "x")


def test_the_page_has_a_place_for_every_work() -> None:
    text = PAGE.read_text()
    for case in catalogue(quick=False):
        assert replaced(text, case.name, "marked") != text


def test_works_are_chosen_by_how_their_names_begin() -> None:
    cases = catalogue(quick=False)
    assert chosen(cases, "") == cases
    assert [case.name for case in chosen(cases, "join, scoring")] == [
        "join", "scoring-gradient-boosting", "scoring-elastic-net",
    ]  # fmt: skip
    with pytest.raises(BadInput, match="no benchmark 'jion'"):
        chosen(cases, "join jion")


@pytest.mark.parametrize(
    ("each", "told"),
    [
        (Measurement("w", 1, "a", answer=Answer(1, same=False)), "another answer"),
        (Measurement("w", 1, "a", absent="failed"), "failed"),
        (Measurement("w", 1, "a", ours=True, answer=Answer(1, lost=1)), "lost 1 rows"),
        (Measurement("w", 1, "a", ours=True, answer=Answer(1, ordered=False)), "their order"),
    ],
)
def test_what_is_wrong_fails_the_call(each: Measurement, told: str) -> None:
    (problem,) = wrong([each])
    assert told in problem


def test_what_others_are_known_to_lose_and_what_was_not_run_does_not_fail_it() -> None:
    assert list(wrong(list(FIGURES))) == []
