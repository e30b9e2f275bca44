"""Step 1: the feature store knows the definitions, and has the feature service to train on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from training_pipeline.checks import named
from training_pipeline.labels import EVENT_TIME
from training_pipeline.params import Params
from training_pipeline.run_folder import RunFolder
from twinserve.contract import Contract
from twinserve.errors import BadInput
from twinserve.features.feast_repo.views import ServiceSpec
from twinserve.features.offline_store.point_in_time import EVENT_TIME_SUFFIX


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
    _refuse_taken_target(contract)
    run.keep_params(params)
    run.keep_contract(contract)
    bind()
    found = {"feature_service": params.feature_service, "features": contract.columns, **applied}
    return run.finish("feature-store-init", found)


def _refuse_taken_target(contract: Contract) -> None:
    """The training rows hold keys, times, features and the target, each under a name of its own."""
    times = [EVENT_TIME, *(view + EVENT_TIME_SUFFIX for view in contract.views)]
    if (target := contract.output.target) in [*contract.columns, *(key.name for key in contract.join_keys), *times]:
        raise BadInput(
            f"labels.target {target} is the name of a feature, a join key or an event time",
            fix=f"Give it another one in params.yaml, and under labels.rename the line `{target}: <that name>`",
        )
