"""`params.yaml`: what is trained, from what, and when it is good enough."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    field_validator,
    model_validator,
)

from training_pipeline.limits import DataChecks
from training_pipeline.target_values import Class
from twinserve.contract import MissingPolicy, Output, Tolerance
from twinserve.errors import StepMissing
from twinserve.files.yaml_files import read_model

ClassMetric = Literal["roc_auc", "average_precision", "log_loss", "brier"]
ValueMetric = Literal["r2", "rmse", "mae"]
CLASS_METRICS: tuple[str, ...] = ("roc_auc", "average_precision", "log_loss", "brier")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Labels(_Part):
    """Where the outcomes are: a table of the source database, or a file (relative to `params.yaml`)."""

    table: str | None = None
    file: Path | None = None
    timestamp: str = "event_timestamp"
    target: str
    rename: dict[str, str] = {}
    classes: tuple[StrictBool | int | str, ...] | None = None
    lowest: float | None = None
    highest: float | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.table is None) == (self.file is None):
            raise ValueError("give either table or file")
        return self


class Meaning(_Part):
    """`Output` of the contract, but for the target, which `labels` names."""

    method: Literal["predict_proba", "predict"]
    meaning: str
    positive_class: StrictBool | int | str | None = None
    best: Literal["highest", "lowest"] = "highest"


class Split(_Part):
    """The latest share of the rows, or all rows from a moment on, are test rows."""

    test: float | None = Field(default=None, gt=0, lt=1)
    test_from: AwareDatetime | None = None

    @field_validator("test_from", mode="before")
    @classmethod
    def _utc_without_zone(cls, value: Any) -> Any:
        moment = datetime.fromisoformat(str(value)) if isinstance(value, str | date) else value
        return moment.replace(tzinfo=UTC) if isinstance(moment, datetime) and moment.tzinfo is None else moment

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.test is None) == (self.test_from is None):
            raise ValueError("give either test or test_from")
        return self


class ModelChoice(_Part):
    """A preset, or the dotted path of a scikit-learn compatible class, and its arguments."""

    estimator: str = "gradient_boosting"
    params: dict[str, Any] = {}


class ModelChecks(_Part):
    """What the candidate must reach on the test rows. None: not asked."""

    metric: ClassMetric | ValueMetric
    limit: float
    min_test_rows: int = Field(default=100, ge=2)
    min_test_rows_per_class: int = Field(default=20, ge=1)
    better_than_constant_by: float | None = 0.0
    better_than_one_feature_by: float | None = None
    worse_than_champion_by: float | None = Field(default=0.0, ge=0)


class Params(_Part):
    """The whole file."""

    feature_service: str
    labels: Labels
    output: Meaning
    missing: MissingPolicy = MissingPolicy()
    split: Split = Split(test=0.2)
    model: ModelChoice = ModelChoice()
    seed: int = Field(default=7, ge=0, lt=2**32)
    data_checks: DataChecks = DataChecks()
    model_checks: ModelChecks
    tolerance: Tolerance | None = None
    experiment: str = Field(min_length=1, max_length=250)

    @field_validator("missing", mode="before")
    @classmethod
    def _unquoted_null(cls, value: Any) -> Any:
        """YAML reads a bare `null:` as the key None; what is meant is the word."""
        return {("null" if key is None else key): v for key, v in value.items()} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.model_checks.metric in CLASS_METRICS) != self.classifies:
            raise ValueError(f"model_checks.metric {self.model_checks.metric} does not go with {self.output.method}")
        _refuse_mixed_classes(self.labels.classes, self.contract_output.positive_class)
        return self

    @property
    def classifies(self) -> bool:
        """Whether the target is a class (scored by probability) and not a number."""
        return self.output.method == "predict_proba"

    @property
    def contract_output(self) -> Output:
        """What the contract says about the score."""
        return Output(target=self.labels.target, **self.output.model_dump())


def _refuse_mixed_classes(classes: tuple[Class, ...] | None, positive: Class | None) -> None:
    """`True` equals 1 in Python, and not in a table."""
    if not classes:
        return
    if len(kinds := {type(name).__name__ for name in (*classes, positive)}) > 1:
        raise ValueError(f"labels.classes and output.positive_class are of several kinds: {', '.join(sorted(kinds))}")
    if positive not in classes:
        raise ValueError("output.positive_class is not among labels.classes")


def load_params(file: Path) -> Params:
    """Read and check the file; a relative `labels.file` is taken from the file's folder.

    Raises:
        StepMissing: there is no such file.
        BadInput: it is no YAML, has a key that nothing reads, or a value that makes no sense; names file and key.
    """
    if not file.is_file():
        raise StepMissing(f"no {file}", fix="Point TWINSERVE_TRAINING_PARAMS at a params.yaml")
    return _with_absolute_file(read_model(file, Params), file.absolute().parent)


def _with_absolute_file(params: Params, folder: Path) -> Params:
    if params.labels.file is None:
        return params
    labels = params.labels.model_copy(update={"file": folder / params.labels.file.expanduser()})
    return params.model_copy(update={"labels": labels})
