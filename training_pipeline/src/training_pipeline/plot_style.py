"""How all plots look: their colours and their axes."""

from __future__ import annotations

from matplotlib.axes import Axes

BLUE, ORANGE, GREY = "#1f5fa8", "#d9730d", "#8a8f98"


def plain(axes: Axes) -> None:
    """No frame, a pale grid behind what is drawn."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color="#e6e8eb", linewidth=0.7)
    axes.set_axisbelow(True)
