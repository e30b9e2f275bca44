"""Plots of scores on the test rows. Figures are built without pyplot, so no global state changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.inspection import permutation_importance
from sklearn.metrics import roc_auc_score, roc_curve
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from training_pipeline.metrics import Floats, Metric
from training_pipeline.plot_style import BLUE, GREY, ORANGE, plain
from twinserve.missing import Matrix

# the candidate is drawn over a broad, pale champion: both stay visible where they are one
LINES: tuple[dict[str, Any], ...] = (
    {"color": BLUE, "linewidth": 1.6, "zorder": 4},
    {"color": ORANGE, "linewidth": 4.5, "alpha": 0.45, "zorder": 3},
)
MOST_POINTS = 5_000
REPEATS = 5
MOST_SCORED, FEWEST = 1_000_000, 500  # rows that permutation importance scores, and that it needs of each feature
MOST_BARS = 30


def classification_plots(outcome: Floats, scores: Mapping[str, Floats], rows: str) -> dict[str, Figure]:
    """ROC and calibration curves.

    Args:
        outcome: (rows,) of 0 and 1, both present.
        scores: legend → (rows,), the candidate's first.
        rows: what the rows are, for the title.
    """
    return {"roc": roc_plot(outcome, scores, rows), "calibration": calibration_plot(outcome, scores, rows)}


def regression_plots(outcome: Floats, scores: Mapping[str, Floats], rows: str) -> dict[str, Figure]:
    """Predicted against actual values, and residuals, of the first of `scores`."""
    name, predicted = next(iter(scores.items()))
    return {
        "predicted_actual": predicted_plot(outcome, predicted, f"{name}, {rows}"),
        "residuals": residual_plot(outcome, predicted, f"{name}, {rows}"),
    }


def roc_plot(outcome: Floats, scores: Mapping[str, Floats], rows: str) -> Figure:
    """One curve per set of scores."""
    figure, axes = _square(f"ROC, {rows}", "false positive rate", "true positive rate")
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":", label="by chance (0.500)")
    for (name, score), line in zip(scores.items(), LINES, strict=False):
        false_rate, true_rate, _ = roc_curve(outcome, score)
        label = f"{name} ({roc_auc_score(outcome, score):.3f})"
        axes.plot(false_rate, true_rate, label=label, **line)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.legend(loc="lower right", title="area under the curve", frameon=False)
    return figure


def calibration_plot(outcome: Floats, scores: Mapping[str, Floats], rows: str) -> Figure:
    """Mean outcome by tenths of the scores, with two standard errors; below it, how the scores are spread."""
    figure = Figure(figsize=(6, 6.6), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    top.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":", label="perfect")
    for (name, score), line in zip(scores.items(), LINES, strict=False):
        mean, seen, error = calibration_points(outcome, score)
        top.errorbar(mean, seen, yerr=2 * error, marker="o", markersize=4, label=name, **line)
        bottom.hist(score, bins=40, range=(0, 1), histtype="step", **line)
    top.set(title=f"Calibration, {rows}", ylabel="observed share", xlim=(0, 1), ylim=(0, 1))
    bottom.set(xlabel="score", ylabel="rows")
    top.legend(loc="upper left", frameon=False)
    for axes in (top, bottom):
        plain(axes)
    return figure


def calibration_points(outcome: Floats, score: Floats, bins: int = 10) -> tuple[Floats, Floats, Floats]:
    """Per bin of about equally many rows: mean score, mean outcome and its standard error; (at most `bins`,) each."""
    parts = [part for part in np.array_split(np.argsort(score, kind="stable"), bins) if part.size]
    mean = np.array([score[part].mean() for part in parts])
    seen = np.array([outcome[part].mean() for part in parts])
    error = np.sqrt(seen * (1 - seen) / np.array([part.size for part in parts]))
    return mean, seen, error


def importance_plot(names: list[str], drops: Matrix, metric: str, rows: str) -> Figure:
    """Bars, the most important feature on top; of a wide model the first `MOST_BARS`.

    Args:
        drops: (features, repeats), by how much the metric gets worse when the feature's values are shuffled.
    """
    order = np.argsort(drops.mean(axis=1), kind="stable")[-MOST_BARS:]
    shown = f"first {len(order)} of {len(names):,} features, " if len(order) < len(names) else ""
    figure = Figure(figsize=(7, 1.6 + 0.42 * len(order)), layout="constrained")
    axes = figure.subplots()
    means, spread = drops.mean(axis=1)[order], drops.std(axis=1)[order]
    axes.barh([names[i] for i in order], means, xerr=spread, color=BLUE, ecolor=GREY, height=0.6)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set(title=f"Permutation importance, {shown}{rows}", xlabel=f"loss of {metric} when the values are shuffled")
    plain(axes)
    return figure


def importance(
    estimator: Any, features: Matrix, outcome: Floats, score: Callable[[Matrix], Floats], metric: Metric, seed: int
) -> Matrix:
    """By how much the metric gets worse per feature and repeat; (features, repeats).

    At most 5,000 rows, five times: a wide model gets fewer repeats and then fewer rows, as each feature is shuffled by
    itself.
    """
    rows, repeats = effort(len(features), features.shape[1])
    chosen = np.linspace(0, len(features) - 1, rows).astype(int)

    def quality(_: Any, rows: Matrix, outcomes: Floats) -> float:
        figure = metric(outcomes, score(rows))
        return np.nan if figure is None else metric.gain(figure, 0.0)

    with threadpool_limits(1):  # for so few rows, threads wait for each other longer than they work
        found = permutation_importance(
            estimator, features[chosen], outcome[chosen], scoring=quality, n_repeats=repeats, random_state=seed
        )
    return np.asarray(found.importances)


def effort(rows: int, features: int) -> tuple[int, int]:
    """How many rows, and how often, so that no more than `MOST_SCORED` rows are scored, but for the last `FEWEST`."""
    repeats = int(np.clip(MOST_SCORED // (features * MOST_POINTS), 1, REPEATS))
    return min(rows, MOST_POINTS, max(FEWEST, MOST_SCORED // (features * repeats))), repeats


def predicted_plot(outcome: Floats, predicted: Floats, rows: str) -> Figure:
    """A point per row; density where there are many."""
    figure, axes = _square(f"Predicted and actual: {rows}", "actual", "predicted")
    everything = np.concatenate([outcome, predicted])
    low, high = float(everything.min()), float(everything.max())
    if outcome.size > MOST_POINTS:
        axes.hexbin(outcome, predicted, gridsize=60, bins="log", cmap="Blues", mincnt=1)
    else:
        axes.scatter(outcome, predicted, s=16, alpha=0.5, color=BLUE, edgecolors="none")
    axes.plot([low, high], [low, high], color=ORANGE, linewidth=1.2, label="perfect")
    axes.legend(loc="upper left", frameon=False)
    return figure


def residual_plot(outcome: Floats, predicted: Floats, rows: str) -> Figure:
    """Residuals by prediction, and their spread."""
    figure = Figure(figsize=(9, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1))
    residual = outcome - predicted
    left.scatter(predicted, residual, s=16, alpha=min(0.5, 2000 / max(residual.size, 1)), color=BLUE, edgecolors="none")
    left.axhline(0, color=ORANGE, linewidth=1.2)
    right.hist(residual, bins=40, orientation="horizontal", color=BLUE)
    right.axhline(0, color=ORANGE, linewidth=1.2)
    left.set(xlabel="predicted", ylabel="actual - predicted")
    right.set(xlabel="rows")
    figure.suptitle(f"Residuals: {rows}")
    for axes in (left, right):
        plain(axes)
    return figure


def _square(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6, 6), layout="constrained")
    axes = figure.subplots()
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.set_aspect("equal", adjustable="box")
    plain(axes)
    return figure, axes
