"""Ratios, and the honesty of what has no figure."""

from __future__ import annotations

import dataclasses

import pytest

from benchmarks.contest import Answer
from benchmarks.measurement import Measurement
from benchmarks.table import HEADINGS, answer, described, duration, markdown, megabytes, rows_of, three_digits

OURS = Measurement("w", 100, "ours", ours=True, seconds=(2.0, 1.0), peak_bytes=(10**8, 3 * 10**8))
THEIRS = Measurement("w", 100, "theirs", seconds=(12.0, 10.0), peak_bytes=(6 * 10**8,))
NOT_RUN = Measurement("w", 100, "theirs", absent="not run at this size")


def larger(each: Measurement) -> Measurement:
    return dataclasses.replace(each, size=1000)


def test_the_best_run_and_the_largest_memory_count() -> None:
    (row,) = rows_of([OURS, THEIRS])
    assert row.times_faster == 10
    assert row.memory_ratio == 0.5


def test_what_was_not_run_has_no_figure_and_no_ratio() -> None:
    (row,) = rows_of([OURS, NOT_RUN])
    assert row.times_faster is None
    assert row.memory_ratio is None
    cells = dict(zip(HEADINGS, row.cells(), strict=True))
    assert cells["theirs"] == "- (not run at this size)"
    assert {cells[name] for name in ("times faster", "their memory", "ours of theirs", "their answer")} == {"-"}


def test_ours_not_run_gives_no_ratio_either() -> None:
    (row,) = rows_of([dataclasses.replace(OURS, absent="failed"), THEIRS])
    assert row.times_faster is None
    assert row.cells()[2] == "- (failed)"


def test_our_largest_size_is_set_against_their_largest_by_rows_a_second() -> None:
    rows = rows_of([OURS, THEIRS, larger(OURS), larger(NOT_RUN)])
    assert [(row.ours.size, row.other.size) for row in rows] == [(100, 100), (1000, 1000), (1000, 100)]
    assert rows[-1].times_faster == 100  # ten times the rows in the same second
    assert rows[-1].memory_ratio is None
    assert rows[-1].cells()[1] == "theirs at 100, by rows a second"


def test_nobody_is_set_against_what_ours_did_not_reach() -> None:
    rows = rows_of([OURS, THEIRS, dataclasses.replace(larger(OURS), absent="failed"), larger(THEIRS)])
    assert [(row.ours.size, row.other.size) for row in rows] == [(100, 100), (1000, 1000)]


def test_a_second_way_of_ours_is_a_row_of_its_own() -> None:
    second = dataclasses.replace(OURS, contestant="ours, otherwise")
    assert [row.other.contestant for row in rows_of([OURS, second, THEIRS])] == ["ours, otherwise", "theirs"]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Answer(10, ordered=True), "right, in order"),
        (Answer(10, ordered=False), "right, another order"),
        (Answer(10), "right"),
        (Answer(9_000, lost=1_000, ordered=False), "1,000 rows lost, another order"),
        (Answer(9, lost=1, same=False), "1 rows lost, WRONG"),
        (Answer(10, same=False), "WRONG"),
        (Answer(10, same=None), "compared with nobody"),
        (Answer(10, note="written nowhere"), "written nowhere"),
    ],
)
def test_an_answer_in_words(found: Answer, words: str) -> None:
    assert described(found) == words


def test_no_answer_is_not_called_right() -> None:
    assert answer(THEIRS) == "-"


@pytest.mark.parametrize(
    ("took", "words"),
    [(123.4, "123 s"), (12.34, "12.3 s"), (1.0, "1.00 s"), (0.9994, "999 ms"), (2.5e-5, "25.0 µs"), (2e-7, "0.20 µs")],
)
def test_a_duration_keeps_three_digits(took: float, words: str) -> None:
    assert duration(took) == words


def test_thousands_are_parted() -> None:
    assert three_digits(12345.6) == "12,346"


def test_intermediate_files_stand_beside_memory() -> None:
    assert megabytes(OURS) == "300 MB"
    assert megabytes(dataclasses.replace(OURS, scratch_bytes=25 * 10**6)) == "300 MB + 25 MB of files"


def test_every_line_of_the_markdown_has_as_many_cells() -> None:
    lines = markdown(rows_of([OURS, THEIRS, larger(OURS), larger(NOT_RUN)]), "rows").splitlines()
    assert len(lines) == 5
    assert {line.count("|") for line in lines} == {len(HEADINGS) + 1}


def test_only_those_of_one_way_of_working_are_compared() -> None:
    ways = [dataclasses.replace(each, pair=pair) for pair in ("one", "at once") for each in (OURS, THEIRS)]
    assert [(row.ours.pair, row.other.pair) for row in rows_of(ways)] == [("one", "one"), ("at once", "at once")]


def test_a_figure_of_one_run_is_marked() -> None:
    (row,) = rows_of([OURS, dataclasses.replace(THEIRS, seconds=(40.0,))])
    assert row.cells()[2:4] == ("1.00 s", "40.0 s (one run)")
