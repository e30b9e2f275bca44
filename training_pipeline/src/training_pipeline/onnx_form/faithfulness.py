"""Whether another form of a model gives the original's scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training_pipeline.onnx_form.refusals import scored_or_refused
from twinserve.contract import Score, Tolerance
from twinserve.missing import Matrix

MOST_UNSCORED = 256


@dataclass(frozen=True)
class Comparison:
    """Two forms over the same rows.

    Attributes:
        rows: compared.
        apart: of them, those beyond the tolerance; or scored by one form and refused, or given no finite score, by
            the other.
        largest: difference of two finite scores of a row, relative to the larger one; None where there was no such row.
        worst: the first row that is apart, in words; empty if none is.
    """

    rows: int
    apart: int
    largest: float | None
    worst: str = ""


def compare(original: Score, other: Score, rows: Matrix, tolerance: Tolerance) -> Comparison:
    """Score the rows by both; a row that the original refuses must get NaN from the other.

    Of the rows that get NaN, `MOST_UNSCORED`, evenly spaced, are compared: the original may refuse each by itself only.
    """
    with np.errstate(all="ignore"):
        got = other(rows)
    chosen = np.concatenate([np.flatnonzero(~np.isnan(got)), _spaced(np.flatnonzero(np.isnan(got)))])
    rows, got = rows[chosen], got[chosen]
    wanted, refused = scored_or_refused(original, rows)
    with np.errstate(all="ignore"):
        alike = np.where(refused, np.isnan(got), _allowed(wanted, got, tolerance))
        finite = np.isfinite(wanted) & np.isfinite(got)
        difference = _relative(wanted[finite], got[finite])
    return Comparison(
        rows=len(rows),
        apart=int((~alike).sum()),
        largest=float(difference.max()) if difference.size else None,
        worst="" if alike.all() else _described(rows, wanted, refused, got, int(np.argmin(alike))),
    )


def _spaced(rows: NDArray[np.intp]) -> NDArray[np.intp]:
    if rows.size <= MOST_UNSCORED:
        return rows
    spaced: NDArray[np.intp] = rows[np.linspace(0, rows.size - 1, MOST_UNSCORED).astype(int)]
    return spaced


def _allowed(one: NDArray[np.float64], other: NDArray[np.float64], tolerance: Tolerance) -> NDArray[np.bool_]:
    """`Tolerance.allows` of each pair; two NaNs, and two infinities of one sign, are alike."""
    room = np.maximum(tolerance.absolute, tolerance.relative * np.maximum(np.abs(one), np.abs(other)))
    near = np.isfinite(one) & np.isfinite(other) & (np.abs(one - other) <= room)
    allowed: NDArray[np.bool_] = near | (one == other) | (np.isnan(one) & np.isnan(other))
    return allowed


def _relative(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    size = np.maximum(np.abs(one), np.abs(other))
    return np.divide(np.abs(one - other), size, out=np.zeros_like(size), where=size > 0)


def _described(
    rows: Matrix, wanted: NDArray[np.float64], refused: NDArray[np.bool_], got: NDArray[np.float64], at: int
) -> str:
    was = "refused" if refused[at] else repr(float(wanted[at]))
    return f"{rows[at].tolist()} gives {float(got[at])!r}, not {was}"
