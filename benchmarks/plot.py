"""Cost against size, a picture for each case: seconds and peak memory, both axes logarithmic."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.contest import Case
from benchmarks.measurement import Measurement
from twinserve.files.atomic import atomic_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# ours is dark and thick; the others are told apart by colour and mark, also by those who can't see the colours
OURS = ("#111111", "#666666")
OTHERS = ("#d1495b", "#00798c", "#edae49", "#30638e", "#8d6a9f", "#6a994e")
MARKS = "osD^vP*X"


def draw(case: Case, measurements: list[Measurement], target: Path) -> Path | None:
    """Write a PNG; none where nothing was run."""
    from matplotlib.figure import Figure

    there = [each for each in measurements if each.case == case.name and not each.absent]
    if not there:
        return None
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    styles = _styles(there)
    _panel(left, case, there, styles, "seconds, best run", lambda each: each.best)
    _panel(right, case, there, styles, "peak memory, MB", lambda each: each.peak / 1e6)
    figure.suptitle(case.title, fontsize=12)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    with atomic_file(target) as draft:
        figure.savefig(draft, format="png", dpi=120)
    return target


def _panel(
    axes: Axes, case: Case, there: list[Measurement], styles: dict[str, dict[str, object]], label: str,
    value: Callable[[Measurement], float],
) -> None:  # fmt: skip
    from matplotlib.ticker import LogLocator

    for name, style in styles.items():
        points = sorted((each.size, value(each)) for each in there if each.contestant == name)
        axes.plot([size for size, _ in points], [cost for _, cost in points], label=name, **style)  # type: ignore[arg-type]
    axes.set(xscale="log", yscale="log", xlabel=case.unit, ylabel=label)
    sizes = sorted({each.size for each in there})
    axes.set_xticks(sizes, [_short(size) for size in sizes])
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:,g}")
    axes.minorticks_off()
    axes.grid(visible=True, alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _styles(there: list[Measurement]) -> dict[str, dict[str, object]]:
    names = {each.contestant: each.ours for each in there}
    ours = iter(OURS)
    others = iter(OTHERS)
    return {
        name: {"color": next(ours if own else others), "marker": MARKS[i], "lw": 2.8 if own else 1.5, "ms": 5}
        for i, (name, own) in enumerate(names.items())
    }


def _short(size: int) -> str:
    """10k, 1M."""
    for factor, letter in ((1_000_000, "M"), (1_000, "k")):
        if size >= factor:
            return f"{size / factor:.3g}{letter}"
    return str(size)
