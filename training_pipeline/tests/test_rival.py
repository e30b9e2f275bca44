from __future__ import annotations

from typing import Any

import numpy as np

from training_pipeline.rival import rival_scores, same_model, shared_rows, unlike
from twinserve.contract import Contract, MissingPolicy, Scoring
from twinserve.missing import Matrix
from twinserve.registry import ServedModel


def last(rows: Matrix) -> Matrix:
    return np.ascontiguousarray(rows[:, -1])


def changed(contract: Contract, **changes: Any) -> Contract:
    return contract.model_copy(update=changes)


def test_one_contract_is_comparable(contract: Contract) -> None:
    assert unlike(contract, contract) == []


def test_a_champion_of_other_features_or_another_target_is_not(contract: Contract) -> None:
    fewer = changed(contract, features=contract.features[:1])
    other = changed(contract, output=contract.output.model_copy(update={"target": "late"}))

    assert unlike(contract, fewer) == ["feature sales:visits is missing"]
    assert unlike(fewer, contract) == []
    assert unlike(other, contract) == ["its target is late, not sold_out"]


def test_the_champion_reads_its_own_columns(contract: Contract) -> None:
    champion = ServedModel("m", "1", changed(contract, features=contract.features[:1]), last)

    assert rival_scores(champion, contract, np.array([[1.0, 2], [3, 4]])).tolist() == [1, 3]


def test_rows_that_only_one_policy_allows_are_not_compared(contract: Contract) -> None:
    lenient = changed(contract, missing=MissingPolicy(null="pass_as_nan"))
    features = np.array([[1.0, np.nan], [3, 4]])

    assert shared_rows(contract, lenient, features).tolist() == [False, True]
    assert shared_rows(lenient, lenient, features).tolist() == [True, True]


ORIGINAL = Scoring(form="original", why="no faster")
ONNX = Scoring(form="onnx", why="faster", file="scorer.onnx", sha256="0")


def test_the_same_model_has_the_same_contract_and_every_score(contract: Contract) -> None:
    champion = ServedModel("m", "1", contract.registered((), ORIGINAL), last)
    features = np.array([[1.0, 2], [3, 4]])

    assert same_model(champion, contract, features, np.array([2.0, 4]))
    assert not same_model(champion, contract, features, np.array([2.0, 4.000000001]))
    assert not same_model(champion, changed(contract, libraries={"numpy": "9"}), features, np.array([2.0, 4]))


def test_two_models_are_compared_by_their_originals(contract: Contract) -> None:
    def nearly(rows: Matrix) -> Matrix:
        return last(rows) * (1 + 1e-15)

    champion = ServedModel("m", "1", contract.registered((), ONNX), nearly, "onnx", last)
    features = np.array([[1.0, 3], [3, 7]])

    assert same_model(champion, contract, features, last(features))
    assert rival_scores(champion, contract, features).tolist() == [3, 7]


def test_a_champion_from_before_there_was_a_choice_of_form_is_registered_anew(contract: Contract) -> None:
    features = np.array([[1.0, 2], [3, 4]])

    assert not same_model(ServedModel("m", "1", contract, last), contract, features, np.array([2.0, 4]))
