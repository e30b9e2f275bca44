"""The page of data-validation: what failed or warned, in training and in test rows; bounded, however wide they are."""

from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from training_pipeline.checks import Check
from training_pipeline.data_checks import check_data
from training_pipeline.data_report import MOST_CHARTS, bin_edges, columns_to_show, drawn, render
from training_pipeline.params import Params
from training_pipeline.targets import read_targets
from training_pipeline.training_rows import TrainingRows

Rows = Callable[..., TrainingRows]


class Page(HTMLParser):
    """Pictures by their text, and all words of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.pictures: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.text = " ".join(self.words)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.pictures.append(str(dict(attrs)["alt"]))

    def handle_data(self, data: str) -> None:
        self.words += data.split()


def page(rows: TrainingRows, params: Params, more: list[Check] | None = None) -> Page:
    targets = read_targets(rows.table["sold_out"], params)
    return Page(render("r <1>", [*check_data(rows, targets, params), *(more or [])], rows, targets, params))


def moving(joined: Rows) -> TrainingRows:
    rng = np.random.default_rng(2)
    share = (np.linspace(0, 5, 400) + rng.random(400)).tolist()
    return joined(share, rng.integers(0, 9, 400).tolist(), rng.integers(0, 2, 400).tolist())


def test_the_two_distributions_of_what_failed_or_warned_are_shown(joined: Rows, params: Callable[..., Params]) -> None:
    refused = page(moving(joined), params())
    warned = page(moving(joined), params(data_checks={"features": {"share": {"on_failure": "warn"}}}))
    passed = page(moving(joined), params(data_checks={"features": {"share": {"max_psi": 99}}}))

    assert refused.pictures == warned.pictures == ["share in training and test rows"]
    assert "r <1>" in refused.text  # escaped, and so read back as it was
    assert ("refused" in refused.words, "passed with 1 warning" in warned.text) == (True, True)
    assert "max_psi(share)" in warned.text
    assert passed.pictures == []


def test_a_page_has_a_bounded_number_of_pictures(joined: Rows, params: Callable[..., Params]) -> None:
    many = [Check(f"max_psi(f{n})", passed=False, says="x", column="visits" if n else "share") for n in range(5)]
    wide = [Check(f"c{number}", passed=False, says="x", column=f"c{number}") for number in range(1_500)]

    assert columns_to_show([*many, *wide])[:3] == ["share", "visits", "c0"]
    assert len(columns_to_show(wide)) == 1_500
    shown = page(moving(joined), params(), [Check("x", passed=False, says="x", column="visits")])
    assert len(shown.pictures) == 2 <= MOST_CHARTS


def test_what_refuses_the_data_comes_before_what_warns() -> None:
    checks = [
        Check("a", passed=False, says="", on_failure="warn", column="a"),
        Check("b", passed=False, says="", column="b"),
        Check("c", passed=True, says="", column="c"),
    ]

    assert columns_to_show(checks) == ["b", "a"]


@pytest.mark.parametrize(
    "values",
    [
        [],
        [np.nan],
        [np.inf, 1.0],
        [0.0, 1.0] * 20,
        [2.0**53 + 2 * n for n in range(20)],
        [0.1 + n * 2**-56 for n in range(40)],
        [-1.7e308, 1.7e308, *np.linspace(-1, 1, 20)],
        list(np.linspace(-5, 5, 300)),
    ],
)
def test_any_numbers_can_be_drawn(values: list[Any]) -> None:
    sample = np.array(values, float)

    assert drawn(sample, sample[::2]).startswith("data:image/svg+xml;base64,")
    assert drawn(sample, np.array([])).startswith("data:image/svg+xml;base64,")


def test_few_values_are_shown_one_by_one() -> None:
    assert bin_edges(np.array([0.0, 1.0] * 500)) is None
    assert bin_edges(np.linspace(0, 1, 100)) is not None
