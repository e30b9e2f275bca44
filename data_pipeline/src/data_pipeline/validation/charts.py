"""Plots of one batch, as SVG text without any global state."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, DateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

INK, BAR, GRID = "#334155", "#2563eb", "#e2e8f0"
BINS, MOST_VALUES = 40, 12
MOST_CHARTS = 24  # of features: one takes a tenth of a second
# the same plot has the same bytes
STYLE: Any = {"svg.hashsalt": "twinserve", "font.size": 9, "svg.fonttype": "path"}


Draw = Callable[[Axes, pa.ChunkedArray], None]


@dataclass(frozen=True)
class Chart:
    """A title and an image as a data URI."""

    title: str
    image: str


def charts(table: pa.Table, features: list[str], timestamp: str) -> list[Chart]:
    """Rows per day, and the distribution of each of `features`; none for an empty table."""
    if not table.num_rows:
        return []
    drawn = [_drawn("rows per day (UTC)", table[timestamp], _per_day, wide=True)]
    return [*drawn, *(_drawn(name, table[name], _distribution) for name in features)]


def _drawn(title: str, column: pa.ChunkedArray, draw: Draw, *, wide: bool = False) -> Chart:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.6 if wide else 4.6, 2.4), layout="constrained")
        axes = figure.add_subplot()
        _plain_look(axes)
        draw(axes, column)
        target = io.BytesIO()
        figure.savefig(target, format="svg", metadata={"Date": None}, transparent=True)
    return Chart(title, "data:image/svg+xml;base64," + base64.b64encode(target.getvalue()).decode())


def _plain_look(axes: Axes) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(INK)
    axes.tick_params(colors=INK, length=0)
    axes.grid(axis="y", color=GRID)
    axes.set_axisbelow(True)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_formatter(EngFormatter(sep=""))


def _per_day(axes: Axes, column: pa.ChunkedArray) -> None:
    days, counts = np.unique(column.to_numpy().astype("datetime64[D]"), return_counts=True)
    axes.bar(days, counts, color=BAR, width=0.85)
    axes.xaxis.set_major_locator(AutoDateLocator(minticks=3, maxticks=9))  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(DateFormatter("%Y-%m-%d"))  # type: ignore[no-untyped-call]


def _distribution(axes: Axes, column: pa.ChunkedArray) -> None:
    kind = column.type
    values = column.drop_null()
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        _histogram(axes, values)
    elif pa.types.is_timestamp(kind):
        _per_day(axes, values)
    else:
        _most_frequent(axes, values)


def _histogram(axes: Axes, values: pa.ChunkedArray) -> None:
    numbers = values.to_numpy().astype(np.float64)
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            counts, edges = np.histogram(numbers[np.isfinite(numbers)], BINS)
    except ValueError:  # neighbours, or as far apart as can be: no bins lie between
        _most_frequent(axes, values)
        return
    axes.bar(edges[:-1], counts, width=np.diff(edges) * 0.92, align="edge", color=BAR)


def _most_frequent(axes: Axes, values: pa.ChunkedArray) -> None:
    counted = sorted(pc.value_counts(values).to_pylist(), key=lambda item: (-item["counts"], str(item["values"])))
    shown = counted[:MOST_VALUES]
    axes.bar([str(item["values"])[:16] for item in shown], [item["counts"] for item in shown], color=BAR)
    axes.tick_params(axis="x", rotation=30)
