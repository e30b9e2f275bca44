"""What one model version reads and returns: the same document for batch and online.

It travels as `contract.json` with the registered version. Both sides build what they do from it, and refuse the
model when the feature service no longer fits or the golden rows don't come out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Container, Iterable
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError, model_validator

from twinserve.errors import BadInput, ContractMismatch
from twinserve.features.feast_repo.views import ServiceSpec
from twinserve.features.redis.layout import shared_fields
from twinserve.values.value_types import MODEL_COLUMNS, MODEL_KEYS

FILE_NAME = "contract.json"
ONNX_LIBRARY = "onnxruntime"
Score = Callable[[NDArray[np.float64]], NDArray[np.float64]]
Handling = Literal["leave_out", "pass_as_nan"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _is_unset(value: object) -> bool:
    """Left out of the document, as it always was."""
    return value is None


class JoinKey(_Part):
    """One join key, and its Feast type."""

    name: str
    dtype: Literal["INT32", "INT64", "STRING"]


class FeatureColumn(_Part):
    """One column of the model's input. Values older than `ttl_seconds` at the moment of asking are stale.

    Attributes:
        stored_view: name of the view in the online store, where the service gives it another.
        stored_keys: names of the join keys there, in the order of `join_keys`, where the service renames one.
    """

    view: str
    name: str
    dtype: Literal["INT32", "INT64", "FLOAT", "DOUBLE", "BOOL"]
    ttl_seconds: int | None
    join_keys: tuple[str, ...]
    stored_view: str | None = Field(default=None, exclude_if=_is_unset)
    stored_keys: tuple[str, ...] | None = Field(default=None, exclude_if=_is_unset)

    @property
    def title(self) -> str:
        """Names it to a person."""
        return f"{self.view}:{self.name}"


class Output(_Part):
    """What the score is: `predict_proba` of `positive_class`, or `predict` itself; and which end of it is best."""

    method: Literal["predict_proba", "predict"]
    target: str
    meaning: str
    positive_class: StrictBool | int | str | None = None
    best: Literal["highest", "lowest"] = "highest"

    @model_validator(mode="after")
    def _names_its_class(self) -> Self:
        if (self.method == "predict_proba") != (self.positive_class is not None):
            raise ValueError("positive_class goes with predict_proba, and only with it")
        return self


def _is_empty(value: object) -> bool:
    """Left out of the document, as it always was."""
    return not value


class MissingPolicy(_Part):
    """Per kind of missing feature: is the row left out, or does the model get a NaN?

    Attributes:
        unlearned: columns that may be passed as NaN although no training row lacked them; `all` for any.
    """

    unknown: Handling = "leave_out"
    stale: Handling = "leave_out"
    null: Handling = "leave_out"
    unlearned: tuple[str, ...] | Literal["all"] = Field(default=(), exclude_if=_is_empty)

    @property
    def passes(self) -> bool:
        """Whether any kind is passed on."""
        return "pass_as_nan" in (self.unknown, self.stale, self.null)

    def unlearned_among(self, columns: Iterable[str], lacking: Container[str]) -> list[str]:
        """Columns that may be passed as NaN, that no training row lacked, and that `unlearned` doesn't name.

        Args:
            lacking: columns that a training row lacked, which the model was given as NaN.
        """
        if not self.passes or self.unlearned == "all":
            return []
        return [name for name in columns if name not in lacking and name not in self.unlearned]


class Tolerance(_Part):
    """How far two scores of one input may lie apart, and why they may at all."""

    absolute: float = Field(ge=0)
    relative: float = Field(ge=0)
    why: str

    def allows(self, one: float, other: float) -> bool:
        """Whether two scores count as the same."""
        return math.isclose(one, other, rel_tol=self.relative, abs_tol=self.absolute)


class GoldenRow(_Part):
    """A model input with the score that it must give. None stands for NaN."""

    features: tuple[float | None, ...]
    score: float


class Scoring(_Part):
    """The form that scores, and how it was chosen when the version was registered.

    Attributes:
        form: `onnx`: the file; `original`: the estimator itself.
        small: the form for a request's few rows, where it is another.
        why: why that form, in one clause.
        file: in the version's folder; None for the original.
        sha256: of the file.
        rows_compared: scored by both forms and found within the contract's tolerance.
        largest_difference: between two finite scores of one row, relative to the larger; None where none was compared.
        rows_per_second: per form and size of a batch, as measured where it was registered.
    """

    form: Literal["onnx", "original"]
    why: str
    small: Literal["onnx"] | None = None
    file: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.-]+$")
    sha256: str | None = None
    rows_compared: int = 0
    largest_difference: float | None = None
    rows_per_second: dict[str, dict[str, float]] = {}

    @model_validator(mode="after")
    def _names_its_file(self) -> Self:
        if self.uses_onnx != (self.file is not None) or (self.file is None) != (self.sha256 is None):
            raise ValueError("file and sha256 go with onnx, and only with it")
        return self

    @property
    def uses_onnx(self) -> bool:
        """Whether any row is scored by the file."""
        return "onnx" in (self.form, self.small)

    def form_for(self, *, few: bool) -> Literal["onnx", "original"]:
        """The form for a request's few rows, or for many."""
        return (few and self.small) or self.form


class Contract(_Part):
    """The whole document.

    Attributes:
        trained_missing: column → kind → training rows in which the model was given NaN for it; columns that no row
            lacked are not in it. None in those written before this was counted.
        scoring: None in those written before there was a choice: the original scores.
    """

    format: Literal[1] = 1
    project: str
    feature_service: str
    join_keys: tuple[JoinKey, ...] = Field(min_length=1)
    features: tuple[FeatureColumn, ...] = Field(min_length=1)
    output: Output
    missing: MissingPolicy = MissingPolicy()
    tolerance: Tolerance
    libraries: dict[str, str]
    golden: tuple[GoldenRow, ...] = ()
    trained_missing: dict[str, dict[str, int]] | None = Field(default=None, exclude_if=_is_unset)
    scoring: Scoring | None = None

    @property
    def full_feature_names(self) -> bool:
        """Whether columns are `<view>__<feature>`: they are where two views have a feature of one name."""
        names = [feature.name for feature in self.features]
        return len(set(names)) < len(names)

    @property
    def columns(self) -> list[str]:
        """Names of the model's input columns, in order."""
        return [f"{f.view}__{f.name}" if self.full_feature_names else f.name for f in self.features]

    @property
    def views(self) -> list[str]:
        """The feature views read, each once, in order of first use."""
        return list(dict.fromkeys(feature.view for feature in self.features))

    def to_json(self) -> str:
        """The document as it is stored; without `scoring` where that is None, as it always was."""
        unset = {"scoring"} if self.scoring is None else None
        return json.dumps(self.model_dump(mode="json", exclude=unset), indent=2, allow_nan=False) + "\n"

    def registered(
        self,
        golden: tuple[GoldenRow, ...],
        scoring: Scoring,
        trained_missing: dict[str, dict[str, int]] | None = None,
    ) -> Contract:
        """The contract of a version: with golden rows, what was missing in training, the form that scores, and the
        library that this form needs."""
        extra = library_versions([ONNX_LIBRARY]) if scoring.uses_onnx else {}
        return self.model_copy(
            update={
                "golden": golden,
                "trained_missing": trained_missing,
                "scoring": scoring,
                "libraries": self.libraries | extra,
            },
        )

    def agreed(self) -> Contract:
        """The contract as it was before `registered`: what two trainings of one model have in common."""
        own = dict(self.libraries)
        if self.scoring and self.scoring.uses_onnx:
            own.pop(ONNX_LIBRARY, None)
        return self.model_copy(update={"golden": (), "trained_missing": None, "scoring": None, "libraries": own})

    @classmethod
    def from_json(cls, text: str | bytes) -> Contract:
        """Read a stored document.

        Raises:
            ContractMismatch: it is damaged, or of a format that this version doesn't know.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "document"
            raise ContractMismatch(
                f"{FILE_NAME} can't be used: {where}: {first['msg']}", fix="Register the model again"
            ) from None

    def differences(self, service: ServiceSpec) -> list[str]:
        """What in the feature service is not as this contract needs it; empty where all fits."""
        offered = {(f.view, f.name): f for f in service.features}
        found = [] if service.project == self.project else [f"project is {service.project}, not {self.project}"]
        offered_keys = {key.name: service.join_keys.get(key.name, "missing") for key in self.join_keys}
        found += [
            f"join key {key.name} is {offered_keys[key.name]}, not {key.dtype}"
            for key in self.join_keys
            if offered_keys[key.name] != key.dtype
        ]
        for want in self.features:
            have = offered.get((want.view, want.name))
            found += [f"feature {want.view}:{want.name} is missing"] if have is None else _unlike(want, have)
        return found

    def check_service(self, service: ServiceSpec) -> None:
        """Refuse a feature service that does not fit.

        Raises:
            ContractMismatch: says each difference.
        """
        if found := self.differences(service):
            raise ContractMismatch(
                f"the model does not fit feature service {service.name}: {'; '.join(found)}",
                fix="Apply the definitions that it was trained with, or train again",
            )

    def check_golden(self, score: Score) -> None:
        """Refuse a model that no longer scores its golden rows as it did when it was registered.

        Raises:
            ContractMismatch: names the first row that differs.
        """
        for number, row in enumerate(self.golden):
            got = float(score(as_matrix([row.features]))[0])
            if not self.tolerance.allows(got, row.score):
                raise ContractMismatch(
                    f"golden row {number} gives {got!r}, not {row.score!r}: the artifact or a library is not the "
                    f"one it was registered with ({self._library_changes() or 'same library versions'})",
                    fix="Restore the artifact or the library versions, or train again",
                )

    def _library_changes(self) -> str:
        now = library_versions(list(self.libraries))
        return ", ".join(f"{n} {v} → {now[n]}" for n, v in self.libraries.items() if now[n] != v)


def build_contract(
    service: ServiceSpec,
    *,
    output: Output,
    missing: MissingPolicy,
    tolerance: Tolerance,
    libraries: dict[str, str],
    golden: tuple[GoldenRow, ...],
) -> Contract:
    """The contract of a model that reads all features of `service`.

    Raises:
        BadInput: a key or feature has a type that no model column can take, two features have one field in Redis, whose
            layout keeps 32 bits of a name, or `missing.unlearned` names a column that is not there; names it.
    """
    bad = [f"{f.view}:{f.name} is {f.dtype}" for f in service.features if f.dtype not in MODEL_COLUMNS]
    bad += [f"join key {name} is {kind}" for name, kind in service.join_keys.items() if kind not in MODEL_KEYS]
    bad += [] if service.join_keys else ["it has no join key"]
    bad += [f"{one} and {other} have one field in Redis: rename one" for one, other in _sharing(service)]
    if bad:
        raise BadInput(
            f"feature service {service.name} can't feed a model: {'; '.join(bad)}",
            fix="Use numbers and booleans, and integer or string keys",
        )
    contract = Contract.model_validate(
        {
            "project": service.project,
            "feature_service": service.name,
            "join_keys": [{"name": name, "dtype": kind} for name, kind in service.join_keys.items()],
            "features": [vars(feature) for feature in service.features],
            "output": output,
            "missing": missing,
            "tolerance": tolerance,
            "libraries": libraries,
            "golden": golden,
        }
    )
    _refuse_strange_columns(contract)
    return contract


def _refuse_strange_columns(contract: Contract) -> None:
    listed = contract.missing.unlearned
    if strange := [name for name in listed if name not in contract.columns] if listed != "all" else []:
        there = ", ".join(contract.columns[:20])
        raise BadInput(
            f"missing.unlearned names {', '.join(strange[:20])}; its columns are {there}", fix="Correct the name"
        )


def _sharing(service: ServiceSpec) -> list[tuple[str, str]]:
    """Features that the online store would hold one value for; views of the same join keys share a hash."""
    names: dict[tuple[tuple[str, str | None], ...], list[tuple[str, str]]] = {}
    for f in service.features:
        kinds = (service.join_keys.get(key) for key in f.join_keys)
        keys = tuple(sorted(zip(f.stored_keys or f.join_keys, kinds, strict=True), key=str))
        names.setdefault(keys, []).append((f.stored_view or f.view, f.name))
    return [pair for group in names.values() for pair in shared_fields(group)]


def as_matrix(rows: list[tuple[float | None, ...]]) -> NDArray[np.float64]:
    """Rows of numbers as a float64 matrix, None as NaN."""
    return np.array([[np.nan if v is None else v for v in row] for row in rows], dtype=np.float64)


def library_versions(names: list[str]) -> dict[str, str]:
    """Installed versions of these distributions; `absent` for those not installed."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


def _unlike(want: FeatureColumn, have: object) -> list[str]:
    parts = ("dtype", "ttl_seconds", "join_keys", "stored_view", "stored_keys")
    return [
        f"{part} of {want.view}:{want.name} is {getattr(have, part)}, not {getattr(want, part)}"
        for part in parts
        if getattr(have, part) != getattr(want, part)
    ]
