"""Step 5: fit the candidate, and tell MLflow how."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from typing import Any

from training_pipeline.estimators import build_estimator, versioned
from training_pipeline.fitted_estimator import fit, load_estimator, save_estimator
from training_pipeline.metrics import measure
from training_pipeline.prepared_rows import TARGET, PreparedRows, read_prepared
from training_pipeline.run_folder import RunFolder
from training_pipeline.takeover import Origin, forget, sha256_of, take_over
from training_pipeline.targets import outcome_of
from training_pipeline.tracking import Tracking
from twinserve.registry import estimator_score
from twinserve.steps.own_code import code_digest

logger = logging.getLogger(__name__)


def train_model(run: RunFolder, tracking: Tracking) -> Mapping[str, Any]:
    """Fit on the training rows; log parameters, training metrics, data set and checks.

    The fit of an earlier run is taken over where rows, estimator, its parameters, seed and library versions are the
    same. The same run key on the same input goes on with the MLflow run that it began.

    The contract takes the libraries of now, of whatever versions were there when the run began.

    Raises:
        BadInput: the estimator or its parameters don't exist.
        PermanentError: the estimator refuses the rows.
    """
    run.begin("model-training")
    params, contract, prepared = run.params(), run.take_libraries(), run.result("data-preparation")
    rows = read_prepared(run.train, contract.columns)
    taken_from = fitted_or_taken_over(run, rows, prepared["digest"])
    estimator = load_estimator(run.estimator)
    score = estimator_score(estimator, contract)
    metrics = measure(outcome_of(rows.target, params), score(rows.features), classifies=params.classifies)

    run_id = tracking.start(params.experiment, run.name, _fingerprint(run, prepared["digest"]))
    tracking.log_params(run_id, _described(run, estimator, prepared))
    tracking.log_metrics(run_id, {f"train_{name}": figure for name, figure in metrics.items()})
    tracking.log_dataset(run_id, run.train, name=params.feature_service, digest=prepared["digest"], target=TARGET)
    tracking.log_json(run_id, "params.json", params.model_dump(mode="json"))
    tracking.finish(run_id)
    result = {
        "mlflow_run": run_id,
        "rows": len(rows.times),
        "metrics": metrics,
        "taken_over_from": taken_from,
        "estimator": str(run.estimator),
    }
    return run.finish("model-training", result)


def fitted_or_taken_over(run: RunFolder, rows: PreparedRows, digest: str) -> str | None:
    """The fitted estimator, in `run.estimator`; returns the key of the run whose fit was taken over, None of none."""
    params, made_from = run.params(), _made_from(run, digest)
    if made_from and (earlier := take_over(run.estimator, made_from)):
        logger.info("nothing that the fit depends on has changed: it is taken over from run %s", earlier)
        return earlier
    forget(run.estimator)
    estimator = fit(build_estimator(params.model, classifies=params.classifies, seed=params.seed), rows)
    save_estimator(run.estimator, estimator)
    if made_from:
        Origin(run.run_key, made_from, sha256_of(run.estimator)).write(run.estimator)
    return None


def _made_from(run: RunFolder, digest: str) -> dict[str, str] | None:
    """None for a class of no installed distribution: nobody knows whether its code has changed.

    Our own is known by its source: its version does not move with every change.
    """
    params, libraries = run.params(), run.contract().libraries
    code = code_digest("training_pipeline")
    if not versioned(params.model) or "absent" in libraries.values() or code is None:
        return None
    chosen = params.model_dump_json(include={"model", "seed", "output"})
    return {
        "rows": digest,
        "estimator": hashlib.sha256(chosen.encode()).hexdigest(),
        "libraries": json.dumps(libraries, sort_keys=True),
        "code": code,
    }


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
