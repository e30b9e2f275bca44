"""The page of data-validation: every check, and how the columns that did not pass are spread over both parts."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training_pipeline.checks import Check
from training_pipeline.params import Params
from training_pipeline.plot_style import BLUE, ORANGE, plain
from training_pipeline.skew import missing_share
from training_pipeline.split_columns import Halves, SplitColumns, split_columns
from training_pipeline.targets import Targets
from training_pipeline.training_rows import TrainingRows
from twinserve.errors import PermanentError

MOST_CHARTS = 16  # one takes a tenth of a second
BINS, MOST_VALUES = 40, 12
STYLE: Any = {"svg.hashsalt": "twinserve", "font.size": 9}  # the same plot has the same bytes


@dataclass(frozen=True)
class Distribution:
    """One column, its checks that did not pass, and a picture as a data URI."""

    column: str
    says: list[str]
    missing: tuple[float, float]
    image: str


def render(run_key: str, checks: Sequence[Check], rows: TrainingRows, targets: Targets, params: Params) -> str:
    """The page as HTML text: self-contained, everything escaped, at most `MOST_CHARTS` pictures."""
    pages = Environment(
        loader=PackageLoader("training_pipeline", "templates"), autoescape=True, undefined=StrictUndefined
    )
    wanted = columns_to_show(checks)
    return pages.get_template("data_checks.html.j2").render(
        run_key=run_key,
        service=rows.contract.feature_service,
        rows=rows.table.num_rows,
        checks=sorted(checks, key=lambda check: ("fail", "warn", "ok").index(check.status)),
        left_out=rows.left_out(),
        distributions=_distributions(wanted[:MOST_CHARTS], checks, rows, targets, params),
        wanted=len(wanted),
    )


def columns_to_show(checks: Sequence[Check]) -> list[str]:
    """The columns of which a check did not pass, each once: those that refuse the data first."""
    of_column = [check for check in checks if check.column is not None and check.status != "ok"]
    ordered = sorted(of_column, key=lambda check: check.status != "fail")
    return list(dict.fromkeys(str(check.column) for check in ordered))


def _distributions(
    wanted: list[str], checks: Sequence[Check], rows: TrainingRows, targets: Targets, params: Params
) -> list[Distribution]:
    try:
        parts = split_columns(rows, targets, params)
    except PermanentError:  # which a check says
        return []
    return [_distribution(name, checks, _halves(parts, name)) for name in wanted]


def _halves(parts: SplitColumns, name: str) -> Halves:
    return parts.of(name) if name in parts.columns else parts.of_outcome()


def _distribution(name: str, checks: Sequence[Check], halves: Halves) -> Distribution:
    says = [f"{check.says} ({check.name})" for check in checks if check.column == name and check.status != "ok"]
    return Distribution(name, says, (missing_share(halves[0]), missing_share(halves[1])), drawn(*halves))


def drawn(before: NDArray[np.float64], after: NDArray[np.float64]) -> str:
    """Two distributions over each other, each as shares of its own values, as the URI of an SVG."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.8, 2.5), layout="constrained")
        axes = figure.add_subplot()
        plain(axes)
        samples = [sample[np.isfinite(sample)] for sample in (before, after)]
        edges = bin_edges(np.concatenate(samples))
        for sample, color, label in zip(samples, (BLUE, ORANGE), ("training rows", "test rows"), strict=True):
            _draw(axes, sample, edges, color=color, label=f"{label} ({sample.size:,})")
        axes.set(ylabel="share")
        axes.legend(frameon=False, fontsize=8)
        target = io.BytesIO()
        figure.savefig(target, format="svg", metadata={"Date": None}, transparent=True)
    return "data:image/svg+xml;base64," + base64.b64encode(target.getvalue()).decode()


def bin_edges(values: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Edges of bins over these values; None where none lie between them: few, close neighbours, or too far apart."""
    if np.unique(values[:10_000]).size <= MOST_VALUES and np.unique(values).size <= MOST_VALUES:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        edges = np.linspace(values.min(), values.max(), BINS + 1)
    return edges if np.isfinite(edges).all() and (np.diff(edges) > 0).all() else None


def _draw(
    axes: Axes, sample: NDArray[np.float64], edges: NDArray[np.float64] | None, *, color: str, label: str
) -> None:
    share = 1 / max(sample.size, 1)
    if edges is not None:
        counts, _ = np.histogram(sample, edges)
        axes.stairs(counts * share, edges, color=color, fill=True, alpha=0.35, label=label)
        return
    values, counts = np.unique(sample, return_counts=True)
    most = np.sort(np.argsort(-counts, kind="stable")[:MOST_VALUES])
    axes.bar([f"{value:.6g}" for value in values[most]], counts[most] * share, color=color, alpha=0.35, label=label)
