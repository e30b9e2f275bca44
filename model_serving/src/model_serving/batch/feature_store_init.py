"""First step: bring Feast's registry in line with the definitions, pin the champion, check that the two fit."""

from __future__ import annotations

from typing import Any

from model_serving.batch.publishing import finished_of
from model_serving.batch.run import BatchRun
from twinserve.features.feast_repo.service import describe_service
from twinserve.features.feast_repo.store import apply_definitions, open_store
from twinserve.registry import Registry
from twinserve.settings import Settings


def feature_store_init(settings: Settings, redis_url: str, registry: Registry, run: BatchRun) -> dict[str, Any]:
    """Pin the run to the champion, or keep the version it is pinned to. A finished run is left as it is.

    Raises:
        BadInput: the run is of another model; or it is finished, and the definitions have changed since.
        StepMissing: there is no champion, or its feature service is not in the feature repo.
        ContractMismatch: the model's artifact is damaged, or it does not fit the features.
        TransientError: MLflow or the registry's database can't be reached, or another step of the run is at work.
    """
    with run.alone("feature-store-init"):
        if finished := finished_of(run):
            return _result(finished.model_name, finished.model_version, finished=True)
        return _begun(settings, redis_url, registry, run)


def _begun(settings: Settings, redis_url: str, registry: Registry, run: BatchRun) -> dict[str, Any]:
    pin = run.pin()  # refuses another model before anything is applied
    applied = apply_definitions(settings, redis_url)
    if pin:
        name, version, contract = pin.model_name, pin.model_version, pin.contract
    else:
        model = registry.load_champion()
        name, version, contract = model.name, model.version, model.contract
    contract.check_service(describe_service(open_store(settings, redis_url), contract.feature_service))
    run.write_pin(name, version, contract)  # with the definitions that it was just held against
    return _result(name, version, finished=False) | applied


def _result(name: str, version: str, *, finished: bool) -> dict[str, Any]:
    return {"model_name": name, "model_version": version, "finished_before": finished}
