"""Step 5: fit the candidate, and tell MLflow how."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from training_pipeline.estimators import build_estimator
from training_pipeline.fitted_estimator import fit, save_estimator
from training_pipeline.metrics import measure
from training_pipeline.prepared_rows import TARGET, read_prepared
from training_pipeline.run_folder import RunFolder
from training_pipeline.targets import outcome_of
from training_pipeline.tracking import Tracking
from twinserve.registry import estimator_score


def train_model(run: RunFolder, tracking: Tracking) -> Mapping[str, Any]:
    """Fit on the training rows; log parameters, training metrics, data set and checks.

    The same run key on the same input goes on with the MLflow run that it began.

    Raises:
        BadInput: the estimator or its parameters don't exist.
        PermanentError: the estimator refuses the rows.
    """
    run.begin("model-training")
    params, contract, prepared = run.params(), run.contract(), run.result("data-preparation")
    rows = read_prepared(run.train, contract.columns)
    estimator = fit(build_estimator(params.model, classifies=params.classifies, seed=params.seed), rows)
    save_estimator(run.estimator, estimator)
    score = estimator_score(estimator, contract)
    metrics = measure(outcome_of(rows.target, params), score(rows.features), classifies=params.classifies)

    run_id = tracking.start(params.experiment, run.name, _fingerprint(run, prepared["digest"]))
    tracking.log_params(run_id, _described(run, estimator, prepared))
    tracking.log_metrics(run_id, {f"train_{name}": figure for name, figure in metrics.items()})
    tracking.log_dataset(run_id, run.train, name=params.feature_service, digest=prepared["digest"], target=TARGET)
    tracking.log_json(run_id, "params.json", params.model_dump(mode="json"))
    tracking.finish(run_id)
    result = {"mlflow_run": run_id, "rows": len(rows.times), "metrics": metrics, "estimator": str(run.estimator)}
    return run.finish("model-training", result)


def _fingerprint(run: RunFolder, digest: str) -> str:
    """Of everything that a fitted model depends on: data, parameters, columns and library versions."""
    parts = (digest, run.params().model_dump_json(), run.contract().to_json())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _described(run: RunFolder, estimator: Any, prepared: Mapping[str, Any]) -> dict[str, Any]:
    params = run.params()
    own = {
        "feature_service": params.feature_service,
        "estimator": params.model.estimator,
        "seed": params.seed,
        **{name: prepared[name] for name in ("digest", "train_rows", "test_rows", "test_from")},
    }
    scalars = {name: value for name, value in estimator.get_params().items() if not hasattr(value, "get_params")}
    return own | {f"model.{name}": value for name, value in scalars.items() if name not in ("steps", "memory")}
