"""The step `explore-and-validate`: good rows to the offline store, bad ones aside, a report of both."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_pipeline.bad_rows import BadRows
from data_pipeline.checks import find_bad_rows
from data_pipeline.clean import ROW
from data_pipeline.offline_files import by_day, merge, newest_event, publishing, refuse_lost_keys
from data_pipeline.publish import CONTRADICTION, publish
from data_pipeline.quarantine import Quarantine, SetAside, write_rows
from data_pipeline.raw_rows import originals
from data_pipeline.report import Findings, render
from data_pipeline.run_folder import ViewRun
from data_pipeline.sources import Checks, SourceRules
from data_pipeline.verdicts import Batch, Verdict, judge
from data_pipeline.watermarks import Watermark, Watermarks
from twinserve.atomic import write_atomically
from twinserve.errors import PermanentError
from twinserve.features.views import ViewSpec

EXAMPLES = 10


@dataclass(frozen=True)
class Places:
    """Where one view's run leaves its results: folder of bad rows, report, lock."""

    quarantine: Quarantine
    report: Path
    lock: Path


@dataclass(frozen=True)
class Sorted:
    """The rows of a run, told apart: `good` in stored columns; `aside` all bad ones, `fresh` those not seen before."""

    good: pa.Table
    bad: BadRows
    aside: list[SetAside]
    fresh: list[SetAside]


def explore_and_validate(
    run: ViewRun, view: ViewSpec, rules: SourceRules, places: Places, watermarks: Watermarks, now: datetime
) -> dict[str, Any]:
    """Check the clean rows of a run, report on them, and publish them unless the batch as a whole is refused.

    Returns:
        Counts of rows pulled, good, bad by reason, new to the store; paths of report, quarantine and store. `updated`
        counts what all tries of this run changed in the store.

    Raises:
        StepMissing: clean was not run.
        PermanentError: too many bad rows, too few rows, or too old; nothing is published.
        BadInput: stored files were written with other join keys; nothing is written at all.
        TransientError: another run is publishing this view.
    """
    cleaned = run.outcome("clean")
    run.begin("explore-and-validate")
    with publishing(places.lock):
        rows = sort_rows(run, view, rules.checks, places.quarantine, now)
        refuse_lost_keys(view, (day for day, _ in by_day(rows.good, view.timestamp)))
        findings = _findings(run, rows, _verdicts(run, view, rows, rules.checks, now), cleaned, now)
        write_atomically(places.report, render(view, findings))
        if not findings.passed:
            raise _refusal(run, view, findings.verdicts, rows.aside, places.report)
        quarantined = places.quarantine.record(rows.fresh, places.report.stem)
        published = publish(rows.good, view, places.quarantine, places.report.stem, run.changes)
        _advance(run, view, watermarks)
    outcome = {
        **findings.counts,
        "bad_by_reason": findings.reasons,
        "newly_quarantined": len(rows.fresh) + published.contradictions,
        "naive_times_as_utc": cleaned["naive_times_as_utc"],
        **published.to_dict(),
        "updated": run.changes.counts(),
        "warnings": [v.finding for v in findings.verdicts if v.status == "warn"],
        "offline_store": str(view.path),
        "quarantine": str(quarantined or places.quarantine.folder) if rows.fresh else None,
        "report": str(places.report),
    }
    run.finish("explore-and-validate", outcome)
    return outcome


def sort_rows(run: ViewRun, view: ViewSpec, checks: Checks, quarantine: Quarantine, now: datetime) -> Sorted:
    """Tell good rows from bad ones."""
    table = pq.read_table(run.clean)
    broken = find_bad_rows(table, view, checks, now)
    merged = merge(_without(table, broken), view)
    contradicting = BadRows()
    contradicting.add(merged.lost[ROW].to_pylist(), CONTRADICTION)
    bad = BadRows.merged([BadRows.read(run.rejected), broken, contradicting])
    aside = _set_aside(run, bad)
    return Sorted(merged.kept.drop_columns([ROW]), bad, aside, quarantine.new(aside, run.folder.parent.name))


def _without(table: pa.Table, bad: BadRows) -> pa.Table:
    return table.filter(pa.array(~np.isin(table[ROW].to_numpy(), bad.rows())))


def _set_aside(run: ViewRun, bad: BadRows) -> list[SetAside]:
    raw = originals(run, bad.rows())
    return [SetAside(raw[row].source, raw[row].original, reasons) for row, reasons in bad.reasons.items()]


def _verdicts(run: ViewRun, view: ViewSpec, rows: Sorted, checks: Checks, now: datetime) -> list[Verdict]:
    pulled = run.outcome("ingest")
    if any(source.get("until") for source in pulled["sources"]):
        checks = checks.model_copy(update={"freshness": None})  # the past is old
    batch = Batch(pulled["rows"], rows.good.num_rows, len(rows.fresh), _newest(rows.good, view))
    return judge(batch, checks, now)


def _newest(good: pa.Table, view: ViewSpec) -> datetime | None:
    times = (pc.max(good[view.timestamp]).as_py(), newest_event(view))
    return max((time for time in times if time), default=None)


def _findings(run: ViewRun, rows: Sorted, verdicts: list[Verdict], cleaned: dict[str, Any], now: datetime) -> Findings:
    naive = cleaned["naive_times_as_utc"].items()
    return Findings(
        run_key=run.run_key,
        at=now,
        counts={
            "rows_in": cleaned["rows_in"],
            "rows_good": rows.good.num_rows,
            "rows_bad": len(rows.bad),
            "duplicates": cleaned["duplicates"],
        },
        reasons=rows.bad.by_reason(),
        verdicts=verdicts,
        notes=[f"{count:,} times in {column} name no zone; they were taken as UTC." for column, count in naive],
        sources=run.outcome("ingest")["sources"],
        good=rows.good,
        examples=_examples(rows.aside),
    )


def _examples(aside: list[SetAside]) -> list[tuple[str, str]]:
    """One row of each combination of reasons, up to `EXAMPLES`."""
    found: dict[str, str] = {}
    for row in aside:
        found.setdefault("; ".join(row.reasons), row.original)
    return list(found.items())[:EXAMPLES]


def _refusal(
    run: ViewRun, view: ViewSpec, verdicts: list[Verdict], aside: list[SetAside], report: Path
) -> PermanentError:
    # not in the quarantine: the next run would take the rows for known ones, and let them pass
    write_rows(aside, run.refused)
    failed = "; ".join(verdict.finding for verdict in verdicts if verdict.status == "fail")
    return PermanentError(
        f"{view.name} is refused, nothing was published: {failed}",
        fix=f"See {report}; bad rows are in {run.refused}. Correct the source, or the checks in sources.yaml",
    )


def _advance(run: ViewRun, view: ViewSpec, watermarks: Watermarks) -> None:
    for pull in run.outcome("ingest")["sources"]:
        if pull["reached"]:
            at = datetime.fromisoformat(pull["reached"])
            watermarks.advance(Watermark(view.name, pull["name"], pull["arrival"], at))
