"""The present champion as the candidate's rival: the same rows, each model by its own contract."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training_pipeline.metrics import Floats
from twinserve.contract import Contract
from twinserve.errors import ContractMismatch
from twinserve.features.feast_repo.views import ServedFeature, ServiceSpec
from twinserve.missing import REASONS, Matrix
from twinserve.registry import Registry, ServedModel

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rival:
    """The champion, or why there is none to compare with.

    Attributes:
        version: what the alias names, usable or not; None where there is no champion.
        model: None where it can't be compared.
        problem: why not, in one clause; empty where there is a model, or no champion.
    """

    version: str | None
    model: ServedModel | None
    problem: str = ""


def load_rival(registry: Registry, contract: Contract) -> Rival:
    """The present champion, if it still loads, fits the candidate's features and predicts the same thing.

    Raises:
        TransientError: MLflow can't be reached.
    """
    version = registry.champion()
    if version is None:
        return Rival(None, None)
    try:
        model = registry.load_version(version, with_original=True)
        problem = "; ".join(unlike(model.contract, contract))
    except ContractMismatch as error:
        model, problem = None, str(error)
    if problem:
        logger.warning("champion %s is left out of the comparison: %s", version, problem)
    return Rival(version, None if problem else model, problem)


def unlike(champion: Contract, candidate: Contract) -> list[str]:
    """Why the champion can't be asked for scores of the candidate's rows."""
    found = champion.differences(service_of(candidate))
    for part in ("method", "target", "positive_class"):
        old, new = getattr(champion.output, part), getattr(candidate.output, part)
        if old != new:
            found.append(f"its {part} is {old}, not {new}")
    return found


def service_of(contract: Contract) -> ServiceSpec:
    """The feature service that the contract was built from."""
    features = tuple(ServedFeature(**feature.model_dump()) for feature in contract.features)
    keys: dict[str, str] = {key.name: key.dtype for key in contract.join_keys}
    return ServiceSpec(contract.project, contract.feature_service, keys, features)


def rival_scores(champion: ServedModel, contract: Contract, features: Matrix) -> Floats:
    """The champion's scores of the candidate's rows, by the original; (rows,), all from the champion's own columns.

    Args:
        features: (rows, features of the candidate); rows that the champion's policy allows.
    """
    order = [(feature.view, feature.name) for feature in contract.features]
    chosen = [order.index((feature.view, feature.name)) for feature in champion.contract.features]
    return champion.original(np.ascontiguousarray(features[:, chosen]))


def shared_rows(champion: Contract, candidate: Contract, features: Matrix) -> NDArray[np.bool_]:
    """Rows that both models score: all where their policies are one, else those that lack nothing."""
    if _handling(champion) == _handling(candidate):
        return np.ones(len(features), dtype=bool)
    complete: NDArray[np.bool_] = np.logical_not(np.isnan(features).any(axis=1))
    return complete


def _handling(contract: Contract) -> dict[str, str]:
    return {reason: getattr(contract.missing, reason) for reason in REASONS.values()}


def same_model(champion: ServedModel, contract: Contract, features: Matrix, scores: Floats) -> bool:
    """Whether the candidate reads, says and scores exactly what the champion does, on every row given.

    Both by the original: how the champion's scoring form was chosen, and which, tells no two models apart. A champion
    from before there was a choice counts as another model, so that it gets one.
    """
    if champion.contract.scoring is None or champion.contract.agreed() != contract.agreed():
        return False
    return bool(np.array_equal(rival_scores(champion, contract, features), scores))
