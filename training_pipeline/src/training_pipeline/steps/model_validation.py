"""Step 7: a candidate that passes every check becomes a version and the champion; any other changes nothing."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from training_pipeline.checks import Check, as_dicts, at_least, number, refuse_failed
from training_pipeline.data_checks import check_classes, check_learned
from training_pipeline.golden_row_choice import choose_golden
from training_pipeline.model_checks import Comparison, check_model
from training_pipeline.onnx_form.choice import choose_form
from training_pipeline.params import Params
from training_pipeline.run_folder import RunFolder
from training_pipeline.steps.model_evaluation import read_candidate
from twinserve.errors import PermanentError, StepMissing
from twinserve.registry import Registry

logger = logging.getLogger(__name__)
FIX = "See the checks, correct the data or params.yaml, and begin a new run"


def validate_model(run: RunFolder, registry: Registry) -> Mapping[str, Any]:
    """Check the figures, register the candidate, move the alias.

    A candidate that is the champion over again (same contract, same score for every row) is not registered: the
    champion stays. A run that has registered its model before does not register it twice; `promoted` says whether this
    run, in all its tries, made the champion.

    Raises:
        PermanentError: a check fails, or the champion is no longer the one that the candidate was compared with.
    """
    run.begin("model-validation")
    params, found = run.params(), run.result("model-evaluation")
    champion, own = registry.champion(), registry.version_of_run(found["mlflow_run"])
    if own is not None and own == champion:  # an earlier try came to its end, or nearly
        return _finish(run, found, own, registered=False, promoted=True)
    _refuse_stale(found, champion, run)
    lacking = missing_in_training(run)
    checks = [check_learned(run.contract(), lacking), *checks_of(params, found)]
    run.write_json("model_checks", {"checks": as_dicts(checks)})
    refuse_failed(checks, "the model is", FIX)
    if champion is not None and found["champion"]["same"]:
        logger.info("the candidate is version %s over again: it stays champion", champion)
        return _finish(run, found, champion, registered=False, promoted=False)
    if own is not None:
        # refuses what an earlier try registered, if it has been damaged since
        registry.load_version(own, with_original=True)
    version = own or register(run, registry, found["mlflow_run"], lacking)
    registry.promote(version, who=f"training-pipeline, run {run.run_key}", why=_why(params, found))
    return _finish(run, found, version, registered=own is None, promoted=True)


def checks_of(params: Params, found: Mapping[str, Any]) -> list[Check]:
    """Every check of an evaluation's figures."""
    limits = params.model_checks
    checks = [at_least("min_test_rows", found["test_rows"], limits.min_test_rows, "test rows:")]
    if params.classifies:
        classes = np.repeat(list(found["test_classes"]), list(found["test_classes"].values()))
        checks += check_classes(classes, limits.min_test_rows_per_class, "test rows")
    compared = _comparison(params, found["champion"])
    return checks + check_model(limits, found["candidate"], found["constant"], found["one_feature"], compared)


def missing_in_training(run: RunFolder) -> dict[str, dict[str, int]]:
    """Column → kind → training rows in which the model was given NaN.

    Raises:
        StepMissing: an earlier release prepared the rows, and did not count.
    """
    counted: dict[str, dict[str, int]] | None = run.result("data-preparation").get("passed_as_nan")
    if counted is None:
        raise StepMissing(
            f"{run.folder} does not say what was missing in training: an earlier release prepared it",
            fix=f"Run `training-pipeline data-preparation --run-key {run.run_key}` and the steps after it again",
        )
    return counted


def register(run: RunFolder, registry: Registry, run_id: str, lacking: dict[str, dict[str, int]]) -> str:
    """Complete the contract with golden rows, what was missing in training and the form that scores, and register it
    with the estimator.

    Returns:
        The version.
    """
    candidate = read_candidate(run)
    known = np.vstack([candidate.train.features, candidate.test.features])
    golden = choose_golden(known, candidate.score, candidate.contract.missing)
    if not all(np.isfinite(row.score) for row in golden):
        raise PermanentError("the model is refused: a golden row's score is no number", fix=FIX)
    agreed = candidate.contract.model_copy(update={"golden": golden})
    chosen = choose_form(candidate.estimator, candidate.score, agreed, known, candidate.params.seed)
    contract = agreed.registered(golden, chosen.scoring, lacking)
    return registry.register(candidate.estimator, contract, run_id, chosen.content)


def _refuse_stale(found: Mapping[str, Any], champion: str | None, run: RunFolder) -> None:
    compared = (found["champion"] or {}).get("version")
    if compared != champion:
        raise PermanentError(
            f"the candidate was compared with version {compared}, but version {champion} is champion now",
            fix=f"Run `training-pipeline model-evaluation --run-key {run.run_key}`, then this step again",
        )


def _comparison(params: Params, champion: Mapping[str, Any] | None) -> Comparison | None:
    if not champion or "champion" not in champion:
        return None
    metric = params.model_checks.metric
    return Comparison(champion["candidate"].get(metric), champion["champion"].get(metric))


def _why(params: Params, found: Mapping[str, Any]) -> str:
    metric = params.model_checks.metric
    says = f"{metric} {number(found['candidate'][metric])} on {found['test_rows']} test rows"
    champion = found["champion"]
    if not champion:
        return f"{says}; first champion"
    if "champion" not in champion:
        return f"{says}; version {champion['version']} could not be compared: {champion['problem']}"
    return f"{says}; version {champion['version']} has {number(champion['champion'][metric])} on the same rows"


def _finish(
    run: RunFolder, found: Mapping[str, Any], version: str, *, registered: bool, promoted: bool
) -> Mapping[str, Any]:
    champion = found["champion"]
    result = {
        "version": version,
        "registered": registered,
        "promoted": promoted,
        "previous_champion": champion["version"] if champion else None,
        "metrics": found["candidate"],
        "champion_problem": (champion or {}).get("problem"),
        "mlflow_run": found["mlflow_run"],
    }
    return run.finish("model-validation", result)
