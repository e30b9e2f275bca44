"""`sources.yaml` of the feature repo: where each view's rows come from, and what they must look like."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from twinserve.errors import BadInput, StepMissing, did_you_mean
from twinserve.features.feast_repo.views import ViewSpec
from twinserve.features.stored_files.deleted_rows import DELETED
from twinserve.files.yaml_files import read_model, read_yaml

Level = Literal["warn", "fail"]
Fraction = Annotated[float, Field(ge=0, le=1)]
Rule = Literal["latest_read", "keep_first", "refuse"]
Snapshot = Literal["rows", "keys"]
Share = Literal["min_rows", "max_bad_fraction", "max_deleted_fraction"]
FILE_NAME = "sources.yaml"
DAYS_BY_EVENT = 7


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ColumnCheck(_Strict):
    """Bounds (inclusive) of one feature, and whether it may be null."""

    min: int | float | None = None  # a whole one stays whole: beyond 2^53 a float would be another bound
    max: int | float | None = None
    nullable: bool = True


class Freshness(_Strict):
    """How old the newest event may be, and what happens if it is older."""

    max_age_hours: float = Field(gt=0)
    on_failure: Level = "warn"


class Checks(_Strict):
    """What a batch of rows must fulfil.

    Attributes:
        min_rows: fewer rows than this in one pull fail the run.
        max_bad_fraction: a larger share of bad rows fails the run.
        max_deleted_fraction: a larger share of stored rows that a `snapshot` lacks fails the run.
        on_failure: whether they do, or warn: both, or by name. Freshness has its own.
        clock_skew_minutes: how far ahead of our clock a time may be.
    """

    columns: dict[str, ColumnCheck] = {}
    freshness: Freshness | None = None
    min_rows: int = Field(default=0, ge=0)
    max_bad_fraction: Fraction = 0.05
    max_deleted_fraction: Fraction = 0.2
    on_failure: Level | dict[Share, Level] = "fail"
    clock_skew_minutes: float = Field(default=10, ge=0)

    def level(self, check: Share) -> Level:
        """What becomes of a check that is not kept."""
        stated = self.on_failure
        return stated.get(check, "fail") if isinstance(stated, dict) else stated


class SourceRules(_Strict):
    """The source of one feature view.

    Attributes:
        table: its table in the source database, `schema.table` if it is not in the default schema.
        file: in its place: a file, a folder of files or a pattern, absolute or seen from the folder of `sources.yaml`.
        rename: source column → stored column; entries whose source column is absent are passed over.
        created: source column with the time a row was written; None: the source has none.
        deleted: source column that says of a row that its key was deleted at the row's event time: true, or a time
            that is not null.
        snapshot: every run reads all that the source has, and what it no longer has is deleted: stored `rows`, or all
            rows of `keys`. None: what is stored stays, whatever the source drops.
        corrections: what becomes of a row with the keys and times of a stored one, and other values. `latest_read`: it
            takes its place; `keep_first`: the stored one stays; `refuse`: nothing of the run is published.
        lookback_minutes: how far behind the watermark rows are read again.
        compare_days: the same in days, for rows that are changed in place; 7 where a database has no time of writing.
    """

    table: str | None = None
    file: str | None = None
    rename: dict[str, str] = {}
    created: str | None = "created"
    lookback_minutes: float = Field(default=60, ge=0)
    deleted: str | None = None
    snapshot: Snapshot | None = None
    corrections: Rule = "latest_read"
    compare_days: float | None = Field(default=None, ge=0)
    checks: Checks = Checks()

    @model_validator(mode="after")
    def _has_one_place(self) -> Self:
        if (self.table is None) == (self.file is None):
            raise ValueError("give either `table` or `file`")
        return self

    def described(self, view: ViewSpec) -> ViewSpec:
        """The view as its files hold it: with the mark of deleted keys, where the source has one."""
        return replace(view, features={**view.features, DELETED: "BOOL"}) if self.deleted else view

    def lookback(self, *, by_event: bool = False) -> timedelta:
        """How far behind the watermark rows are read again and compared.

        Args:
            by_event: the source is read by event time, as it has no time of writing.
        """
        days = self.compare_days if self.compare_days is not None else DAYS_BY_EVENT if by_event else 0
        return max(timedelta(minutes=self.lookback_minutes), timedelta(days=days))


class _Document(_Strict):
    views: dict[str, SourceRules]


def load_sources(feature_repo: Path, views: Iterable[ViewSpec]) -> dict[str, SourceRules]:
    """The rules of each view, by its name.

    Raises:
        StepMissing: there is no `sources.yaml`.
        BadInput: it is no valid YAML, has unknown or wrong entries, or does not fit the definitions.
    """
    file = feature_repo / FILE_NAME
    if not file.is_file():
        raise StepMissing(f"no {file}", fix="Write one: it names the source of each feature view")
    written, views = written_sources(feature_repo), list(views)
    _refuse_unknown(file, written, [view.name for view in views])
    for view in views:
        _refuse_misfit(file, view, written.get(view.name))
    return written


def written_sources(feature_repo: Path) -> dict[str, SourceRules]:
    """What is written, whether or not it fits the definitions; nothing where there is no `sources.yaml`.

    Raises:
        BadInput: it is no valid YAML, or has unknown or wrong entries.
    """
    file = feature_repo / FILE_NAME
    return read_model(file, _Document).views if file.is_file() else {}


def _refuse_unknown(file: Path, written: Iterable[str], defined: list[str]) -> None:
    if unknown := [name for name in written if name not in defined]:
        name, place = unknown[0], read_yaml(file).place(["views", unknown[0]])
        raise BadInput(
            f"{file}, {place}: views.{name}: no definition has a feature view of that name; there are "
            f"{', '.join(defined)}",
            fix=f"Correct the name{did_you_mean(name, set(defined) - set(written))}, or take it out",
        )


def _refuse_misfit(file: Path, view: ViewSpec, rules: SourceRules | None) -> None:
    if rules is None:
        raise BadInput(f"{file} says nothing of the feature view {view.name}", fix="Add it under `views`")
    targets = {"rename": rules.rename.values(), "checks.columns": rules.checks.columns}
    for where, names in targets.items():
        if unknown := sorted(set(names) - set(view.columns)):
            raise BadInput(
                f"{file}: {view.name}.{where} names {', '.join(unknown)}, not in the view", fix="Correct the name"
            )
