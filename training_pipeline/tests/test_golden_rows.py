from __future__ import annotations

import numpy as np

from training_pipeline.golden_row_choice import MOST, choose_golden
from twinserve.contract import MissingPolicy
from twinserve.missing import Matrix


def first_column(rows: Matrix) -> Matrix:
    return np.nan_to_num(rows[:, 0], nan=-1.0)


def test_the_edges_of_what_was_seen() -> None:
    features = np.array([[5.0, 1], [1, 5], [3, 9], [4, 4], [9, 0]])

    golden = choose_golden(features, first_column, MissingPolicy())

    assert [row.features for row in golden] == [(1, 5), (4, 4), (9, 0), (3, 9)]
    assert [row.score for row in golden] == [1, 4, 9, 3]


def test_all_missing_comes_first_where_it_is_scored() -> None:
    golden = choose_golden(np.array([[1.0, 2]]), first_column, MissingPolicy(stale="pass_as_nan"))

    assert golden[0].features == (None, None)
    assert golden[0].score == -1


def test_a_handful_whatever_the_number_of_features() -> None:
    features = np.random.default_rng(1).random((200, 40))
    features[:, 7] = np.nan

    golden = choose_golden(features, first_column, MissingPolicy(null="pass_as_nan"))

    assert len(golden) == MOST
    assert len({row.features for row in golden}) == MOST
