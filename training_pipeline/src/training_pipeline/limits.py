"""`data_checks` of params.yaml: what the training rows must keep to, in general and feature by feature."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Level = Literal["fail", "warn"]
RowCheck = Literal["min_rows", "min_rows_per_class", "max_bad_targets", "max_left_out"]
FeatureCheck = Literal["max_missing", "max_missing_shift", "max_psi"]
Reason = Literal["unknown", "stale", "null"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FeatureLimits(_Part):
    """Limits of one feature, or of the outcome. What is None is as for all.

    Attributes:
        on_failure: what becomes of a failed check: of each, or by its name.
    """

    max_missing: float | None = Field(default=None, ge=0, le=1)
    max_missing_shift: float | None = Field(default=None, ge=0, le=1)
    max_psi: float | None = Field(default=None, gt=0)
    on_failure: Level | dict[FeatureCheck, Level] | None = None


class DataChecks(_Part):
    """What the training rows must keep to. Shares are of all label rows.

    Attributes:
        max_left_out_by: limits of single reasons, besides that of all together.
        on_failure: what becomes of a failed check: of each, or by its name; `fail` refuses the data, `warn` is told.
        features: limits of single features, by column of the model's input.
        outcome: limits of the outcome, which is looked at for its stability.
    """

    min_rows: int = Field(default=500, ge=2)
    min_rows_per_class: int = Field(default=50, ge=1)
    max_bad_targets: float = Field(default=0.0, ge=0, le=1)
    max_left_out: float = Field(default=0.3, ge=0, le=1)
    max_left_out_by: dict[Reason, Annotated[float, Field(ge=0, le=1)]] = {}
    max_missing: float = Field(default=0.3, ge=0, le=1)
    max_missing_shift: float = Field(default=0.1, ge=0, le=1)
    max_psi: float = Field(default=0.25, gt=0)
    on_failure: Level | dict[RowCheck | FeatureCheck, Level] = "fail"
    features: dict[str, FeatureLimits] = {}
    outcome: FeatureLimits = FeatureLimits()

    def level(self, check: RowCheck) -> Level:
        """What becomes of a check that is not about one feature."""
        return _level(self.on_failure, check) or "fail"

    def left_out_limit(self, reason: str) -> float | None:
        """That of one reason, if it has one."""
        return next((limit for name, limit in self.max_left_out_by.items() if name == reason), None)

    def of_feature(self, name: str) -> AppliedLimits:
        """What holds for a feature."""
        return AppliedLimits(self, self.features.get(name, FeatureLimits()))

    @property
    def of_outcome(self) -> AppliedLimits:
        """What holds for the outcome."""
        return AppliedLimits(self, self.outcome)

    def strange_features(self, columns: Iterable[str]) -> list[str]:
        """Names under `features` that are no column."""
        return sorted(set(self.features) - set(columns))


class AppliedLimits:
    """The limits of one column: its own, and where it has none those of all."""

    def __init__(self, general: DataChecks, own: FeatureLimits) -> None:
        self._general, self._own = general, own

    def limit(self, check: FeatureCheck) -> float:
        """The number that must not be exceeded."""
        own: float | None = getattr(self._own, check)
        return float(getattr(self._general, check)) if own is None else own

    def level(self, check: FeatureCheck) -> Level:
        """What becomes of it if it is."""
        return _level(self._own.on_failure, check) or _level(self._general.on_failure, check) or "fail"


def _level(stated: Any, check: str) -> Level | None:
    found: Level | None = stated.get(check) if isinstance(stated, dict) else stated
    return found
