"""First step: bring Feast's registry in line with the definitions, pin the champion, check that the two fit."""

from __future__ import annotations

from typing import Any

from model_serving.batch.output import Finished
from model_serving.batch.run import BatchRun, Pin
from twinserve.features.service import describe_service
from twinserve.features.store import apply_definitions, open_store
from twinserve.registry import Registry
from twinserve.settings import Settings


def feature_store_init(settings: Settings, redis_url: str, registry: Registry, run: BatchRun) -> dict[str, Any]:
    """Pin the run to the champion, or keep the version it is pinned to. A finished run is left as it is.

    Raises:
        StepMissing: there is no champion, or its feature service is not in the feature repo.
        ContractMismatch: the model's artifact is damaged, or it does not fit the features.
        TransientError: MLflow or the registry's database can't be reached, or another step of the run is at work.
    """
    with run.alone("feature-store-init"):
        if finished := Finished.read(run.output):
            run.refuse_other_key(finished.run_key)
            return _result(finished.model_name, finished.model_version, finished=True)
        return _begun(settings, redis_url, registry, run)


def _begun(settings: Settings, redis_url: str, registry: Registry, run: BatchRun) -> dict[str, Any]:
    applied = apply_definitions(settings, redis_url)
    pin = _pinned(registry, run)
    pin.contract.check_service(describe_service(open_store(settings, redis_url), pin.contract.feature_service))
    return _result(pin.model_name, pin.model_version, finished=False) | applied


def _pinned(registry: Registry, run: BatchRun) -> Pin:
    if pin := run.pin():
        return pin
    model = registry.load_champion()
    return run.write_pin(model.name, model.version, model.contract)


def _result(name: str, version: str, *, finished: bool) -> dict[str, Any]:
    return {"model_name": name, "model_version": version, "finished_before": finished}
