"""Step 6: candidate, baselines and champion on the test rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from training_pipeline.baselines import best_single_feature, constant_scores
from training_pipeline.fitted_estimator import load_estimator
from training_pipeline.metrics import METRICS, Floats, measure
from training_pipeline.params import Params
from training_pipeline.prepared_rows import PreparedRows, read_prepared
from training_pipeline.rival import Rival, load_rival, rival_scores, same_model, shared_rows
from training_pipeline.run_folder import RunFolder
from training_pipeline.targets import class_counts, outcome_of
from training_pipeline.tracking import Tracking
from twinserve.contract import Contract, Score
from twinserve.registry import Registry, estimator_score

Figures = dict[str, float | None]


@dataclass(frozen=True)
class Candidate:
    """The fitted estimator with the rows that it is judged by."""

    estimator: Any
    score: Score
    contract: Contract
    params: Params
    train: PreparedRows
    test: PreparedRows

    def measured(self, score: Floats) -> Figures:
        """Metrics of any scores of the test rows."""
        return measure(self.test_outcome, score, classifies=self.params.classifies)

    @property
    def train_outcome(self) -> Floats:
        """(training rows,)"""
        return outcome_of(self.train.target, self.params)

    @property
    def test_outcome(self) -> Floats:
        """(test rows,)"""
        return outcome_of(self.test.target, self.params)


def evaluate_model(run: RunFolder, registry: Registry, tracking: Tracking) -> Mapping[str, Any]:
    """Measure all on the same test rows; log metrics and plots.

    A champion that can't be loaded or no longer fits the features is reported and counts as absent.

    Raises:
        TransientError: MLflow can't be reached.
    """
    run.begin("model-evaluation")
    run_id = run.result("model-training")["mlflow_run"]
    candidate = read_candidate(run)
    rival = load_rival(registry, candidate.contract)
    scores = candidate.score(candidate.test.features)
    figures = {"candidate": candidate.measured(scores), **baseline_figures(candidate)}
    compared = compare(candidate, rival, scores)
    tracking.log_metrics(run_id, _by_name(figures, compared))
    tracking.log_figures(run_id, draw(candidate, rival, scores))
    result = {
        "mlflow_run": run_id,
        "test_rows": len(scores),
        "test_classes": class_counts(candidate.test.target) if candidate.params.classifies else {},
        **figures,
        "one_feature_name": _one_feature(candidate)[0],
        "champion": compared,
    }
    return run.finish("model-evaluation", result)


def read_candidate(run: RunFolder) -> Candidate:
    """What the steps before have left.

    Raises:
        BadInput: another version of a library has fitted it.
    """
    run.refuse_other_libraries()
    params, contract = run.params(), run.contract()
    estimator = load_estimator(run.estimator)
    parts = (read_prepared(file, contract.columns) for file in (run.train, run.test))
    return Candidate(estimator, estimator_score(estimator, contract), contract, params, *parts)


def baseline_figures(candidate: Candidate) -> dict[str, Figures]:
    """Metrics of a constant and of the best single feature."""
    constant = constant_scores(candidate.train_outcome, len(candidate.test.times))
    return {
        "constant": candidate.measured(constant),
        "one_feature": candidate.measured(_one_feature(candidate)[1]),
    }


def compare(candidate: Candidate, rival: Rival, scores: Floats) -> dict[str, Any] | None:
    """Candidate and champion on the rows that both score; None where there is no champion."""
    if rival.version is None:
        return None
    if rival.model is None:
        return {"version": rival.version, "problem": rival.problem, "same": False}
    features = candidate.test.features
    shared = shared_rows(rival.model.contract, candidate.contract, features)
    outcome = candidate.test_outcome[shared]
    theirs = rival_scores(rival.model, candidate.contract, features[shared])
    known = np.vstack([candidate.train.features, features])
    classifies = candidate.params.classifies
    return {
        "version": rival.version,
        "rows": int(shared.sum()),
        "candidate": measure(outcome, scores[shared], classifies=classifies),
        "champion": measure(outcome, theirs, classifies=classifies),
        "same": same_model(rival.model, candidate.contract, known, candidate.score(known)),
    }


def draw(candidate: Candidate, rival: Rival, scores: Floats) -> dict[str, Any]:
    """Plots of the candidate and, where it scores every test row, of the champion. None where scores are no numbers."""
    from training_pipeline import plots

    metric, outcome = candidate.params.model_checks.metric, candidate.test_outcome
    if METRICS[metric](outcome, scores) is None:
        return {}
    rows = f"{len(scores):,} test rows"
    shown = {"candidate": scores, **_rival_curve(candidate, rival)}
    kind = plots.classification_plots if candidate.params.classifies else plots.regression_plots
    drops = plots.importance(
        candidate.estimator, candidate.test.features, outcome, candidate.score, METRICS[metric], candidate.params.seed
    )
    return kind(outcome, shown, rows) | {
        "importance": plots.importance_plot(candidate.contract.columns, drops, metric, rows)
    }


def _rival_curve(candidate: Candidate, rival: Rival) -> dict[str, Floats]:
    features = candidate.test.features
    if rival.model is None or not shared_rows(rival.model.contract, candidate.contract, features).all():
        return {}
    return {f"champion, version {rival.version}": rival_scores(rival.model, candidate.contract, features)}


def _one_feature(candidate: Candidate) -> tuple[str, Floats]:
    metric = METRICS[candidate.params.model_checks.metric]
    best, scores = best_single_feature(
        candidate.train.features, candidate.train_outcome, candidate.test.features, metric
    )
    return candidate.contract.columns[best], scores


def _by_name(figures: Mapping[str, Figures], compared: Mapping[str, Any] | None) -> Figures:
    shown = {"test" if who == "candidate" else who: found for who, found in figures.items()}
    if compared and "champion" in compared:
        shown["champion"] = compared["champion"]
    return {f"{who}_{name}": figure for who, found in shown.items() for name, figure in found.items()}
