"""The HTML report of one view in one run: self-contained, everything escaped; its script filters the columns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from jinja2 import Environment, PackageLoader, StrictUndefined

from data_pipeline.publishing.corrections import Correction
from data_pipeline.validation.charts import MOST_CHARTS, charts
from data_pipeline.validation.first_to_look_at import first_to_look_at
from data_pipeline.validation.verdicts import Verdict
from twinserve.features.feast_repo.views import ViewSpec
from twinserve.steps.ledger import Ledger


@dataclass(frozen=True)
class Findings:
    """What a report tells.

    Attributes:
        counts: label → rows, in the order to show.
        reasons: reason → bad rows.
        notes: what was assumed, in whole sentences.
        good: the rows that passed.
        examples: some bad rows, as (reasons, original JSON).
        ledger: where the rows went.
        corrections: rows that differ from others of the same keys and times.
        before: some rows that were stored last, in the same columns; empty where there are none.
    """

    run_key: str
    at: datetime
    counts: dict[str, int]
    reasons: dict[str, int]
    verdicts: list[Verdict]
    notes: list[str]
    sources: list[dict[str, Any]]
    good: pa.Table
    examples: list[tuple[str, str]]
    ledger: Ledger
    corrections: list[Correction]
    before: pa.Table

    @property
    def passed(self) -> bool:
        """Whether the batch may be published."""
        return all(verdict.status != "fail" for verdict in self.verdicts)


def render(view: ViewSpec, findings: Findings) -> str:
    """The report as HTML text."""
    pages = Environment(
        loader=PackageLoader("data_pipeline.validation", "templates"), autoescape=True, undefined=StrictUndefined
    )
    features = list(view.features)
    drawn = first_to_look_at(findings.good, findings.before, features, findings.reasons, MOST_CHARTS)
    return pages.get_template("report.html.j2").render(
        view=view,
        findings=findings,
        columns=[_column(findings.good, name, kind) for name, kind in view.columns.items()],
        charts=charts(findings.good, drawn, view.timestamp),
        drawn=len(drawn),
    )


def _column(table: pa.Table, name: str, feast_type: str) -> dict[str, Any]:
    values = table[name]
    ends = pc.min_max(values)
    numeric = pa.types.is_floating(values.type) or pa.types.is_integer(values.type)
    return {
        "name": name,
        "type": feast_type,
        "nulls": values.null_count,
        "distinct": pc.count_distinct(values).as_py(),
        "min": _shown(ends["min"].as_py()),
        "mean": _shown(pc.mean(values).as_py()) if numeric else "",
        "max": _shown(ends["max"].as_py()),
    }


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return f"{value:,.4g}" if isinstance(value, float) else str(value)[:40]
