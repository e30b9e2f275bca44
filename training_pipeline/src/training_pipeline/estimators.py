"""The estimator that `params.yaml` names: a preset, or any scikit-learn compatible class."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.metadata import distribution, packages_distributions
from typing import Any

from training_pipeline.params import ModelChoice
from twinserve.contract import Tolerance
from twinserve.errors import BadInput

TREES = Tolerance(
    absolute=0,
    relative=1e-12,
    why="trees add up row by row in one order, so a score does not depend on the batch it is in; only exp() may "
    "differ in its last bit between C libraries and processors",
)
LINEAR = Tolerance(
    absolute=1e-12,
    relative=1e-9,
    why="a linear model is a matrix product, in which BLAS chooses the order of summation by the shape of the batch",
)


def _gradient_boosting(classifies: bool) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    # small steps and leaves that hold: tabular data of some thousand noisy rows overfits with the library's defaults
    kind = HistGradientBoostingClassifier if classifies else HistGradientBoostingRegressor
    return kind(learning_rate=0.05, max_iter=80, max_leaf_nodes=6, min_samples_leaf=30, l2_regularization=1.0,
                early_stopping=False)  # fmt: skip


def _elastic_net(classifies: bool) -> Any:
    from sklearn.linear_model import ElasticNet, LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if classifies:
        return make_pipeline(StandardScaler(), LogisticRegression(solver="saga", l1_ratio=0.5, C=1.0, max_iter=2000))
    return make_pipeline(StandardScaler(), ElasticNet(alpha=0.01, l1_ratio=0.5, max_iter=5000))


PRESETS: dict[str, tuple[Callable[[bool], Any], Tolerance]] = {
    "gradient_boosting": (_gradient_boosting, TREES),
    "elastic_net": (_elastic_net, LINEAR),
}


def build_estimator(choice: ModelChoice, *, classifies: bool, seed: int) -> Any:
    """An unfitted estimator with the parameters asked for, and the seed where it takes one and got none.

    The parameters of a preset that is a pipeline are those of its last step.

    Raises:
        BadInput: there is no such class, or it does not take these parameters.
    """
    if choice.estimator in PRESETS:
        make, _ = PRESETS[choice.estimator]
        estimator = make(classifies)
    else:
        estimator = _called(_class_at(choice.estimator), choice)
    last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    try:
        last.set_params(**choice.params)
    except (ValueError, TypeError, AttributeError) as error:
        raise BadInput(f"model.params: {choice.estimator}: {error}", fix="Correct params.yaml") from None
    if "random_state" in last.get_params() and "random_state" not in choice.params:
        last.set_params(random_state=seed)
    return estimator


def stated_tolerance(choice: ModelChoice, stated: Tolerance | None) -> Tolerance:
    """How far scores may lie apart: as stated in `params.yaml`, else as the preset is known to need."""
    if stated:
        return stated
    if choice.estimator in PRESETS:
        return PRESETS[choice.estimator][1]
    return LINEAR.model_copy(update={"why": f"{choice.estimator} is not known to score each row on its own"})


def libraries_of(choice: ModelChoice) -> list[str]:
    """Distributions that a score depends on."""
    names = ["numpy", "scikit-learn", "scipy", "skops"]
    top = choice.estimator.partition(".")[0]
    return names + sorted(set(packages_distributions().get(top, [])) - set(names))


def versioned(choice: ModelChoice) -> bool:
    """Whether the estimator's code is that of a released distribution, whose version tells it apart.

    Not so a file of one's own, nor what is installed from a folder, an archive or a repository: there the version stays
    while the code changes. Installers note such an origin (https://packaging.python.org/specifications/direct-url).
    """
    if choice.estimator in PRESETS:
        return True
    top = choice.estimator.partition(".")[0]
    return any(
        distribution(name).read_text("direct_url.json") is None for name in packages_distributions().get(top, [])
    )


def _class_at(path: str) -> Any:
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        presets = ", ".join(PRESETS)
        raise BadInput(
            f"model.estimator: no class {path!r}", fix=f"Name one of {presets}, or a class by its dotted path"
        ) from None


def _called(kind: Any, choice: ModelChoice) -> Any:
    try:
        estimator = kind(**choice.params)
    except TypeError as error:
        raise BadInput(f"model.params: {choice.estimator}: {error}", fix="Correct params.yaml") from None
    if not hasattr(estimator, "fit") or not hasattr(estimator, "get_params"):
        raise BadInput(f"model.estimator: {choice.estimator} is no scikit-learn estimator", fix="Name another class")
    return estimator
