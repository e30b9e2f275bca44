"""The step `explore-and-validate`: good rows to the offline store, bad ones aside, a report of both."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_pipeline.bad_rows import BadRows
from data_pipeline.clean import LAST, ROW
from data_pipeline.publishing.contradictions import settle
from data_pipeline.publishing.corrections import Correction, CorrectionLog, write_corrections
from data_pipeline.publishing.offline_files import newest_event, newest_rows, publishing
from data_pipeline.publishing.publish import Plan, Publisher
from data_pipeline.publishing.read_times import ReadTimes
from data_pipeline.publishing.source_deletions import Lacking, WholeRead, drop_undeleted
from data_pipeline.publishing.stored_columns import refuse_lost_columns, renamed
from data_pipeline.quarantine import Quarantine, SetAside, write_rows
from data_pipeline.raw_rows import originals, without_order
from data_pipeline.reading.watermarks import Watermark, Watermarks
from data_pipeline.run_folder import ViewRun
from data_pipeline.sources import Checks, SourceRules
from data_pipeline.validation.checks import find_bad_rows
from data_pipeline.validation.report import Findings, render
from data_pipeline.validation.verdicts import (
    Batch,
    Verdict,
    judge,
    judge_corrections,
    judge_deletions,
    judge_late_deletions,
)
from twinserve.errors import PermanentError, StepMissing
from twinserve.features.feast_repo.views import ViewSpec
from twinserve.features.stored_files.deleted_rows import DELETED
from twinserve.files.atomic import write_atomically
from twinserve.steps.ledger import Ledger

EXAMPLES = 10
CONTRADICTION = "contradicts another row of the same keys and times"
MOST_COMPARED = 10_000  # stored rows


@dataclass(frozen=True)
class Places:
    """Where one view's run leaves its results: bad rows, corrections, times of reading, report; and the lock."""

    quarantine: Quarantine
    report: Path
    lock: Path
    corrections: CorrectionLog
    read_times: ReadTimes

    def whole_read(self, run: ViewRun, view: ViewSpec, publisher: Publisher) -> WholeRead | None:
        """The read of a run that is a snapshot.

        Raises:
            LedgerMismatch: rows that ingest read are not there to be compared.
        """
        compared = run.outcome("ingest").get("snapshot")
        if compared is None:
            return None
        present = pq.read_table(run.present)
        Ledger(run.outcome("ingest")["rows"], {"compared": present.num_rows}).balanced(f"snapshot of {view.name}")
        return WholeRead(view, compared, present, publisher.read_at, self.read_times, run.changes, run.deleted)

    def publisher(self, run: ViewRun, view: ViewSpec, rules: SourceRules) -> Publisher:
        """What publishes the rows of a run."""
        began = datetime.fromisoformat(run.outcome("ingest").get("read_at", "1970-01-01T00:00:00+00:00"))
        log, times = self.corrections, self.read_times
        return Publisher(view, rules.corrections, began, log, times, run.changes, self.report.stem)


@dataclass(frozen=True)
class Sorted:
    """The rows of a run, told apart.

    Attributes:
        good: in stored columns, one for each identity.
        superseded: rows with another of the same identity in this read.
        aside: all bad rows.
        fresh: those of them that were not seen before.
    """

    good: pa.Table
    superseded: list[Correction]
    bad: BadRows
    aside: list[SetAside]
    fresh: list[SetAside]


def explore_and_validate(
    run: ViewRun, view: ViewSpec, rules: SourceRules, places: Places, watermarks: Watermarks, now: datetime
) -> dict[str, Any]:
    """Check the clean rows of a run, report on them, and publish them unless the batch as a whole is refused.

    Returns:
        Counts of rows pulled, good, bad by reason, new to the store, corrected, saying that a key was deleted, and
        deleted as a snapshot lacks them; paths of report, quarantine, list of corrections, and store. `updated` counts
        what all tries of this run changed in the store, and `ledger` where the rows that ingest pulled went.

    Raises:
        StepMissing: clean was not run, or by an earlier release.
        BadInput: the definition does not fit what is stored, or has changed since ingest; nothing is published.
        PermanentError: too many bad rows, too few rows, too old, or corrections under `refuse`; nothing is published.
        LedgerMismatch: the rows do not add up; nothing is published.
        TransientError: another run is publishing this view.
    """
    run.refuse_others(view)
    cleaned = run.outcome("clean")
    run.begin("explore-and-validate")
    with publishing(places.lock):
        refuse_lost_columns(view)
        rows = sort_rows(run, view, rules, places.quarantine, now)
        publisher = places.publisher(run, view, rules)
        plan = publisher.plan(rows.good)
        snapshot = places.whole_read(run, view, publisher)
        lacking = snapshot.lacking() if snapshot else None
        ledger = account(run, view, rows, plan)
        verdicts = [
            *_verdicts(run, view, rows, rules.checks, now),
            judge_corrections(ledger, rules.corrections),
            *([judge_deletions(lacking, rules.checks)] if lacking else []),
            *judge_late_deletions(cleaned.get("deleted_later", 0)),
            *(Verdict("definition", "warn", finding) for finding in [renamed(view)] if finding),
        ]
        findings = _findings(run, view, rows, verdicts, cleaned, now, ledger, publisher.listed(rows.superseded, plan))
        findings.notes.extend(_deletions_listed(run, lacking, passed=findings.passed))
        write_atomically(places.report, render(view, findings))
        if not findings.passed:
            _list_refused_deletions(run, snapshot, lacking)
            raise _refusal(run, view, findings, rows.aside, places.report)
        for refused in (run.refused, run.refused_corrections, run.refused_deletions):  # by an earlier try
            refused.unlink(missing_ok=True)
        quarantined = places.quarantine.record(rows.fresh, places.report.stem)
        published = publisher.publish(rows.good, findings.corrections)
        if snapshot and lacking:
            snapshot.take_effect(lacking)
        drop_undeleted(view, run.changes, run.deleted)
        _advance(run, watermarks)
    outcome = {
        **findings.counts,
        "bad_by_reason": findings.reasons,
        "newly_quarantined": len(rows.fresh),
        "rows_marked_deleted": _marked(rows.good),
        "rows_deleted": run.changes.deleted(),
        "deleted_listed": str(run.deleted) if run.changes.deleted() else None,
        "naive_times_as_utc": cleaned["naive_times_as_utc"],
        **published.to_dict(),
        "ledger": ledger.to_dict(),
        "updated": run.changes.counts(),
        "warnings": [v.finding for v in findings.verdicts if v.status == "warn"],
        "offline_store": str(view.path),
        "quarantine": str(quarantined or places.quarantine.folder) if rows.fresh else None,
        "corrections_listed": str(publisher.log.file(publisher.name)) if findings.corrections else None,
        "report": str(places.report),
    }
    run.finish("explore-and-validate", outcome)
    return outcome


def sort_rows(run: ViewRun, view: ViewSpec, rules: SourceRules, quarantine: Quarantine, now: datetime) -> Sorted:
    """Tell good rows from bad ones."""
    table = _cleaned(run)
    broken = find_bad_rows(table.drop_columns([LAST]), view, rules.checks, now)
    settled = settle(_without(table, broken), view, rules.corrections, without_order(run))
    contradicting = BadRows()
    contradicting.add(settled.contradicting.tolist(), CONTRADICTION)
    bad = BadRows.merged([BadRows.read(run.rejected), broken, contradicting])
    aside = _set_aside(run, bad)
    return Sorted(settled.kept, settled.superseded, bad, aside, quarantine.new(aside, run.folder.parent.name))


def account(run: ViewRun, view: ViewSpec, rows: Sorted, plan: Plan) -> Ledger:
    """Where every row that ingest pulled goes, over all tries of the run.

    Raises:
        LedgerMismatch: the rows do not add up.
    """
    superseded = Counter(correction.decision for correction in rows.superseded)
    ignored = Counter(duplicate=run.outcome("clean")["duplicates"], superseded=superseded.pop("superseded", 0))
    ignored.update(plan.ignored)
    ignored.update(superseded)
    went = {**plan.went, "set_aside": len(rows.bad)}
    return Ledger(run.outcome("ingest")["rows"], went, ignored).balanced(f"explore-and-validate of {view.name}")


def _cleaned(run: ViewRun) -> pa.Table:
    table = pq.read_table(run.clean)
    if LAST in table.column_names:
        return table
    raise StepMissing(
        f"{run.clean} does not say which of several rows of one key came last: an earlier release wrote it",
        fix=f"Run `data-pipeline clean --run-key {run.run_key}` again",
    )


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
    return [*judge(batch, checks, now), *(Verdict("source", "warn", said) for said in pulled.get("warnings", []))]


def _newest(good: pa.Table, view: ViewSpec) -> datetime | None:
    times = (pc.max(good[view.timestamp]).as_py(), newest_event(view))
    return max((time for time in times if time), default=None)


def _findings(
    run: ViewRun,
    view: ViewSpec,
    rows: Sorted,
    verdicts: list[Verdict],
    cleaned: dict[str, Any],
    now: datetime,
    ledger: Ledger,
    corrections: list[Correction],
) -> Findings:
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
        notes=[
            *(f"{count:,} times in {column} name no zone; they were taken as UTC." for column, count in naive),
            *(f"{count:,} rows say that their key was deleted." for count in [_marked(rows.good)] if count),
            *(
                f"{pull['name']}: {said}."
                for pull in run.outcome("ingest")["sources"]
                for said in pull.get("notes", [])
            ),
        ],
        sources=run.outcome("ingest")["sources"],
        good=rows.good,
        examples=_examples(rows.aside),
        ledger=ledger,
        corrections=corrections,
        before=newest_rows(view, MOST_COMPARED),
    )


def _deletions_listed(run: ViewRun, lacking: Lacking | None, *, passed: bool) -> list[str]:
    """Where, and not which: a page that quotes no key need not go when a key is forgotten."""
    if not lacking or not lacking.rows:
        return []
    file, what = (run.deleted, "were deleted") if passed else (run.refused_deletions, "would have been deleted")
    return [f"Keys and times of the stored rows that {what}, as the source no longer has them, are in {file}."]


def _marked(good: pa.Table) -> int:
    return good.num_rows - good[DELETED].null_count if DELETED in good.column_names else 0


def _examples(aside: list[SetAside]) -> list[tuple[str, str]]:
    """One row of each combination of reasons, up to `EXAMPLES`."""
    found: dict[str, str] = {}
    for row in aside:
        found.setdefault("; ".join(row.reasons), row.original)
    return list(found.items())[:EXAMPLES]


def _list_refused_deletions(run: ViewRun, snapshot: WholeRead | None, lacking: Lacking | None) -> None:
    if snapshot and lacking and lacking.rows > lacking.rewritten:
        snapshot.list_lacking(run.refused_deletions)
    else:
        run.refused_deletions.unlink(missing_ok=True)


def _refusal(run: ViewRun, view: ViewSpec, findings: Findings, aside: list[SetAside], report: Path) -> PermanentError:
    # not in the quarantine: the next run would take the rows for known ones, and let them pass
    write_rows(aside, run.refused)
    write_corrections(findings.corrections, run.refused_corrections)
    failed = [verdict for verdict in findings.verdicts if verdict.status == "fail"]
    listed = {
        "bad rows": (aside, run.refused),
        "corrections": (findings.corrections, run.refused_corrections),
        "rows that would be deleted": (run.refused_deletions.exists(), run.refused_deletions),
    }
    places = [f"{what} are in {file}" for what, (rows, file) in listed.items() if rows]
    rules = " and ".join(f"views.{view.name}.{verdict.rule}" for verdict in failed if verdict.rule)
    return PermanentError(
        f"{view.name} is refused, nothing was published: {'; '.join(verdict.finding for verdict in failed)}",
        fix=f"See {'; '.join([str(report), *places])}. Correct the source"
        + (f", or {rules} in sources.yaml" if rules else ""),
    )


def _advance(run: ViewRun, watermarks: Watermarks) -> None:
    for pull in run.outcome("ingest")["sources"]:
        if pull.get("watermark"):
            watermarks.advance(Watermark.of(pull["watermark"]))
