"""A picture for each case: requests a second as bars, and how long requests take, both logarithmic."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.online.cases import Case
from benchmarks.online.measured import Figures
from benchmarks.plot import MARKS, OTHERS, OURS
from benchmarks.table import three_digits
from twinserve.files.atomic import atomic_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHARES = {"p50": "p50", "p99": "p99", "p999": "p99.9", "longest": "longest"}


def draw(case: Case, figures: list[Figures], target: Path) -> Path | None:
    """Write a PNG; none where nothing was run."""
    from matplotlib.figure import Figure

    there = [each for each in figures if each.case == case.name and not each.absent]
    if not there:
        return None
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    colours = [OURS[0] if each.ours else OTHERS[place % len(OTHERS)] for place, each in enumerate(there)]
    if case.kind == "start":
        _bars(left, there, colours, [min(each.ready_seconds) for each in there], "seconds until ready")
        _bars(right, there, colours, [max(each.ready_bytes) / 1e6 for each in there], "memory then, MB")
    else:
        _bars(left, there, colours, [each.best.rate for each in there], "requests a second")
        _lines(right, there, colours)
    figure.suptitle(case.title, fontsize=12)
    with atomic_file(target) as draft:
        figure.savefig(draft, format="png", dpi=120)
    return target


def _bars(axes: Axes, there: list[Figures], colours: list[str], values: list[float], label: str) -> None:
    axes.barh([each.title for each in there], values, color=colours)
    axes.bar_label(axes.containers[0], labels=[three_digits(value) for value in values], padding=3)  # type: ignore[arg-type] # what barh has made
    axes.set(xscale="log", xlabel=label, xlim=(min(values) / 3, max(values) * 3))
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)


def _lines(axes: Axes, there: list[Figures], colours: list[str]) -> None:
    for each, colour, mark in zip(there, colours, MARKS, strict=False):
        values = [getattr(each.best, name) * 1e3 for name in SHARES]
        axes.plot(list(SHARES.values()), values, color=colour, marker=mark)  # whose they are, the bars beside them say
    axes.set(yscale="log", ylabel="milliseconds")
    axes.yaxis.set_major_formatter("{x:,g}")
    axes.grid(visible=True, alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
