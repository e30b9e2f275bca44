"""Statistics of scores that add up: of chunks to those of a file, of files to those of a run."""

from __future__ import annotations

import math
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict


class ScoreSummary(BaseModel):
    """Count, range, mean and spread.

    Attributes:
        spread: sum of the squared distances from the mean; joined as Chan, Golub and LeVeque add up variances.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: int = 0
    lowest: float | None = None
    highest: float | None = None
    mean: float = 0.0
    spread: float = 0.0

    @classmethod
    def of(cls, scores: NDArray[np.float64]) -> Self:
        """Of the scores that are there; NaN is none."""
        found = scores[~np.isnan(scores)]
        if not len(found):
            return cls()
        mean = float(found.mean())
        spread = float(np.square(found - mean).sum())
        return cls(count=len(found), lowest=float(found.min()), highest=float(found.max()), mean=mean, spread=spread)

    def joined(self, other: Self) -> Self:
        """Of both; the order counts for the last bit."""
        if not self.count or not other.count:
            return other if other.count else self
        count, apart = self.count + other.count, other.mean - self.mean
        return self.model_copy(
            update={
                "count": count,
                "lowest": min(self.lowest, other.lowest),  # type: ignore[type-var] # both have scores
                "highest": max(self.highest, other.highest),  # type: ignore[type-var]
                "mean": self.mean + apart * other.count / count,
                "spread": self.spread + other.spread + apart * apart * self.count * other.count / count,
            }
        )

    def figures(self) -> dict[str, float | None] | None:
        """For the command's result: min, max, mean and standard deviation (of all, not of a sample); None of none."""
        if not self.count:
            return None
        deviation = math.sqrt(self.spread / self.count)
        figures = {"min": self.lowest, "max": self.highest, "mean": self.mean, "std": deviation}
        # a regression's scores may be so large that their squares are not finite, which JSON can't say
        return {name: value if value is not None and math.isfinite(value) else None for name, value in figures.items()}
