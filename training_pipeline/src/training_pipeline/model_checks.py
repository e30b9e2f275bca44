"""Is the candidate good enough to serve? Pure functions from figures to checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from training_pipeline.checks import Check, at_least, at_most, number
from training_pipeline.metrics import METRICS
from training_pipeline.params import ModelChecks

Figures = Mapping[str, float | None]


@dataclass(frozen=True)
class Comparison:
    """Candidate and champion on the rows that both score."""

    candidate: float | None
    champion: float | None


def check_model(
    limits: ModelChecks, candidate: Figures, constant: Figures, one_feature: Figures, champion: Comparison | None
) -> list[Check]:
    """The checks of the chosen metric on the test rows. Where the candidate has no figure, only that is said."""
    figure = candidate.get(limits.metric)
    if figure is None:
        says = f"{limits.metric} does not exist for the test rows: one class only, or a score that is no number"
        return [Check("limit", passed=False, says=says)]
    bound = at_least if METRICS[limits.metric].higher_is_better else at_most
    checks = [bound("limit", figure, limits.limit, f"{limits.metric}:")]
    checks += check_gain("better_than_constant_by", limits, figure, constant.get(limits.metric))
    checks += check_gain("better_than_one_feature_by", limits, figure, one_feature.get(limits.metric))
    return checks + (check_champion(limits, champion) if champion else [])


def check_gain(name: str, limits: ModelChecks, figure: float, baseline: float | None) -> list[Check]:
    """Is the candidate better than a baseline by as much as is asked?"""
    wanted: float | None = getattr(limits, name)
    if wanted is None or baseline is None:
        return []
    gain = METRICS[limits.metric].gain(figure, baseline)
    return [at_least(name, gain, wanted, f"{limits.metric} {number(figure)} against {number(baseline)}, better by")]


def check_champion(limits: ModelChecks, compared: Comparison) -> list[Check]:
    """Is the candidate at most as much worse than the champion as is allowed?"""
    wanted = limits.worse_than_champion_by
    if wanted is None or compared.candidate is None or compared.champion is None:
        return []
    loss = -METRICS[limits.metric].gain(compared.candidate, compared.champion)
    says = (
        f"{limits.metric} {number(compared.candidate)} against {number(compared.champion)} on the same rows, worse by"
    )
    return [at_most("worse_than_champion_by", loss, wanted, says)]
