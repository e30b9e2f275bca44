"""An order of rows in which neighbours take much the same way through a model's trees.

A processor guesses which way a comparison goes. Rows in any order make it guess wrong at every other node; rows that
lie in one cell of a grid over the features, one after the other, let it learn the way. No row's score changes by it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

CELLS = 2**16  # most that the key of a row tells apart: NumPy sorts 16 bits by radix, in time linear in the rows


class Cut(BaseModel):
    """One axis of the grid: a feature's number, and where it is cut, ascending."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    feature: int = Field(ge=0)
    edges: tuple[float, ...] = Field(min_length=1)


def row_order(rows: NDArray[np.float64], cuts: tuple[Cut, ...]) -> NDArray[np.intp]:
    """Which row comes first, second, … in the order of the grid's cells; (rows,).

    Args:
        rows: (rows, features); NaN lies beyond the last edge.
        cuts: the first is the slowest to change; together at most `CELLS` cells.
    """
    cell = np.zeros(len(rows), np.uint16)
    for cut in cuts:
        cell *= np.uint16(len(cut.edges) + 1)
        cell += np.searchsorted(cut.edges, rows[:, cut.feature]).astype(np.uint16)
    return np.argsort(cell, kind="stable")
