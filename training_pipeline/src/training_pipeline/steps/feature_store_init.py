"""Step 1: the feature store knows the definitions, and has the feature service to train on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from training_pipeline.checks import named
from training_pipeline.params import Params
from training_pipeline.run_folder import RunFolder
from twinserve.contract import Contract
from twinserve.errors import BadInput
from twinserve.features.views import ServiceSpec


def init_feature_store(
    run: RunFolder,
    params: Params,
    *,
    apply: Callable[[], dict[str, Any]],
    describe: Callable[[str], ServiceSpec],
    draft: Callable[[ServiceSpec, Params], Contract],
    bind: Callable[[], None],
) -> Mapping[str, Any]:
    """Apply the definitions, look the feature service up, and fix this run's parameters.

    Raises:
        StepMissing: the definitions have no such feature service.
        BadInput: a feature or key has a type that no model can read, or params.yaml has limits for a feature that is
            not there; names it.
    """
    run.begin("feature-store-init")
    applied = apply()
    contract = draft(describe(params.feature_service), params)
    if strange := params.data_checks.strange_features(contract.columns):
        raise BadInput(
            f"data_checks.features names {named(strange)}; the features are {named(contract.columns)}",
            fix="Correct the name in params.yaml",
        )
    run.keep_params(params)
    run.keep_contract(contract)
    bind()
    found = {"feature_service": params.feature_service, "features": contract.columns, **applied}
    return run.finish("feature-store-init", found)
