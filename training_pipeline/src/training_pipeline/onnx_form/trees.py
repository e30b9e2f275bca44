"""Ensembles of trees, read from the estimators that hold them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Link = Literal["identity", "logit", "log"]
BINARY = (0, 1)  # indices of the classes


class NotConvertible(Exception):
    """The estimator has no ONNX form; says why, in one clause."""


@dataclass(frozen=True)
class Tree:
    """One tree as parallel arrays, (nodes,); the root comes first.

    A row goes `left` where its `feature` is at most `threshold`, or NaN and `nan_left`.
    """

    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    nan_left: NDArray[np.bool_]
    leaf: NDArray[np.bool_]
    value: NDArray[np.float64]

    @property
    def splits(self) -> NDArray[np.bool_]:
        """Which nodes are no leaves; (nodes,)."""
        return ~self.leaf


@dataclass(frozen=True)
class Ensemble:
    """`link` of (`start` + the trees' values in their order) / `divisor`.

    Attributes:
        single: whether features are rounded to float32 first.
        column: which of the two classes `link` speaks of; 0 or 1 for a classifier, None for a regression.
    """

    trees: list[Tree]
    start: float = 0.0
    divisor: float = 1.0
    single: bool = False
    link: Link = "identity"
    column: int | None = None


def constant_tree(value: float) -> Tree:
    """Two equal leaves: a root can't be a leaf in ONNX."""
    return Tree(
        feature=np.zeros(3, np.int64),
        threshold=np.zeros(3),
        left=np.array([1, 0, 0]),
        right=np.array([2, 0, 0]),
        nan_left=np.zeros(3, bool),
        leaf=np.array([False, True, True]),
        value=np.full(3, value),
    )


def read_ensemble(estimator: Any, positive: int | None) -> Ensemble | None:
    """The trees of an estimator of scikit-learn; None if it is no such thing.

    Args:
        positive: index of the class whose probability is the score; None for `predict`.

    Raises:
        NotConvertible: it splits on categories, has more than two classes, or is otherwise not as these are.
    """
    readers: dict[str, Callable[[Any, int | None], Ensemble]] = {
        "HistGradientBoostingClassifier": _histogram,
        "HistGradientBoostingRegressor": _histogram,
        "GradientBoostingClassifier": _boosted,
        "GradientBoostingRegressor": _boosted,
        "RandomForestClassifier": _forest,
        "RandomForestRegressor": _forest,
        "ExtraTreesClassifier": _forest,
        "ExtraTreesRegressor": _forest,
    }
    kind = type(estimator)
    if not kind.__module__.startswith("sklearn.") or kind.__name__ not in readers:
        return None
    if hasattr(estimator, "classes_") != (positive is not None):
        raise NotConvertible("a class, not a probability, is what it predicts")
    if positive is not None and len(estimator.classes_) != len(BINARY):
        raise NotConvertible(f"it has {len(estimator.classes_)} classes")
    return readers[kind.__name__](estimator, positive)


def _histogram(estimator: Any, positive: int | None) -> Ensemble:
    if estimator.is_categorical_ is not None:
        raise NotConvertible("it splits on categories")
    nodes = [predictor.nodes for (predictor,) in estimator._predictors]
    start = float(np.ravel(estimator._baseline_prediction)[0])
    return Ensemble([_of_records(each) for each in nodes], start, link=_link(estimator), column=positive)


def _of_records(nodes: Any) -> Tree:
    return Tree(
        feature=nodes["feature_idx"].astype(np.int64),
        threshold=nodes["num_threshold"].astype(np.float64),
        left=nodes["left"].astype(np.int64),
        right=nodes["right"].astype(np.int64),
        nan_left=nodes["missing_go_to_left"].astype(bool),
        leaf=nodes["is_leaf"].astype(bool),
        value=nodes["value"].astype(np.float64),
    )


def _boosted(estimator: Any, positive: int | None) -> Ensemble:
    from sklearn.dummy import DummyClassifier, DummyRegressor

    if not isinstance(estimator.init_, (str, DummyClassifier, DummyRegressor)):
        raise NotConvertible("it starts from an estimator of its own")
    start = float(estimator._raw_predict_init(np.zeros((1, estimator.n_features_in_), np.float32))[0, 0])
    rate = estimator.learning_rate
    trees = [_of_tree(stage.tree_, stage.tree_.value[:, 0, 0] * rate) for stage in estimator.estimators_[:, 0]]
    return Ensemble(trees, start, single=True, link=_link(estimator), column=positive)


def _forest(estimator: Any, positive: int | None) -> Ensemble:
    if estimator.n_outputs_ != 1:
        raise NotConvertible(f"it has {estimator.n_outputs_} outputs")
    trees = [_of_tree(each.tree_, each.tree_.value[:, 0, positive or 0]) for each in estimator.estimators_]
    return Ensemble(trees, divisor=float(len(trees)), single=True)


def _of_tree(tree: Any, value: NDArray[np.float64]) -> Tree:
    leaf = tree.children_left < 0
    return Tree(
        feature=np.where(leaf, 0, tree.feature).astype(np.int64),
        threshold=np.asarray(tree.threshold, np.float64),
        left=np.where(leaf, 0, tree.children_left).astype(np.int64),
        right=np.where(leaf, 0, tree.children_right).astype(np.int64),
        nan_left=np.asarray(tree.missing_go_to_left, bool),
        leaf=leaf,
        value=np.asarray(value, np.float64),
    )


def _link(estimator: Any) -> Link:
    kind = type(estimator._loss.link).__name__
    links: dict[str, Link] = {"IdentityLink": "identity", "LogitLink": "logit", "LogLink": "log"}
    if kind not in links:
        raise NotConvertible(f"its link is {kind}")
    return links[kind]
