"""Whether a batch as a whole is good enough to publish."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from data_pipeline.publishing.source_deletions import Lacking
from data_pipeline.sources import Checks, Freshness, Rule
from twinserve.steps.ledger import Ledger

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Verdict:
    """One check of the batch and what came of it.

    Attributes:
        rule: what in the view's part of sources.yaml decides; empty where no rule does.
    """

    check: str
    status: Status
    finding: str
    rule: str = ""


@dataclass(frozen=True)
class Batch:
    """What the checks of a whole batch look at.

    Attributes:
        pulled: rows that ingest pulled.
        good: rows that passed.
        bad: rows set aside that no earlier run had set aside.
        newest: latest event time of the view, this batch included; None if it has no rows at all.
    """

    pulled: int
    good: int
    bad: int
    newest: datetime | None

    @property
    def bad_fraction(self) -> float:
        """Share of bad rows, 0 for an empty batch."""
        return self.bad / (self.good + self.bad) if self.good + self.bad else 0.0


_CORRECTED = {
    "replaced": "rows took the place of stored ones of the same keys and times",
    "superseded": "rows gave way to a later one of the same keys and times in this read",
    "keep_first": "rows differ from earlier ones of the same keys and times, which stay",
    "older_read": "rows differ from stored ones that were read later, or were gone when all was read later: left out",
    "refused": "rows differ from earlier ones of the same keys and times",
}


def judge(batch: Batch, checks: Checks, now: datetime) -> list[Verdict]:
    """Volume, share of bad rows and freshness of a batch."""
    return [_volume(batch, checks), _bad_rows(batch, checks), *_freshness(batch, checks.freshness, now)]


def judge_corrections(ledger: Ledger, rule: Rule) -> Verdict:
    """Rows with the keys and times of others and other values: said, and refused where the rule is `refuse`."""
    counts = {**ledger.went, **ledger.ignored}
    found = [f"{counts[name]:,} {meaning}" for name, meaning in _CORRECTED.items() if counts.get(name)]
    status: Status = "fail" if counts.get("refused") else "warn" if found else "ok"
    return Verdict(
        "corrections", status, f"rule {rule}: {'; '.join(found) or 'no row differs from a stored one'}", "corrections"
    )


def judge_deletions(lacking: Lacking, checks: Checks) -> Verdict:
    """Stored rows that a snapshot lacks: said, and refused where they are more than the rules allow, or all as it is
    empty."""
    if lacking.unreadable:
        finding = f"{lacking.unreadable:,} rows of the snapshot have no readable keys and times: nothing is deleted"
        return Verdict("deletions", "warn", finding)
    if lacking.rows and lacking.empty:
        finding = f"the snapshot lacks all {lacking.rows:,} stored rows, as it has none: no rule lets it delete them"
        return Verdict("deletions", "fail", finding)
    allowed = f"{checks.max_deleted_fraction:.2%} allowed by max_deleted_fraction"
    shares = f"{lacking.fraction:.2%} of those stored, {allowed}"
    most = lacking.fraction > checks.max_deleted_fraction
    status: Status = checks.level("max_deleted_fraction") if most else "warn" if lacking.rows else "ok"
    finding = f"the snapshot lacks {lacking.rows - lacking.rewritten:,} rows: {shares}"
    more = f"; of {lacking.rewritten:,} more it has another time of writing, which replaces them"
    return Verdict("deletions", status, finding + more * bool(lacking.rewritten), "checks.max_deleted_fraction")


def judge_late_deletions(rows: int) -> list[Verdict]:
    """A soft delete that leaves the event time where it was takes the row's features from the past too."""
    if not rows:
        return []
    finding = (
        f"{rows:,} rows were deleted at the source later than their event time, and count as deleted from that on: "
        "what was known in between is lost to training, unless the source gives the deletion a row of its own"
    )
    return [Verdict("deletions", "warn", finding)]


def _volume(batch: Batch, checks: Checks) -> Verdict:
    status: Status = "ok" if batch.pulled >= checks.min_rows else checks.level("min_rows")
    return Verdict(
        "volume", status, f"{batch.pulled:,} rows pulled, at least {checks.min_rows:,} expected", "checks.min_rows"
    )


def _bad_rows(batch: Batch, checks: Checks) -> Verdict:
    status: Status = "ok" if batch.bad_fraction <= checks.max_bad_fraction else checks.level("max_bad_fraction")
    shares = f"{batch.bad_fraction:.2%} of the rows are bad, {checks.max_bad_fraction:.2%} allowed"
    return Verdict("bad rows", status, f"{batch.bad:,} rows set aside: {shares}", "checks.max_bad_fraction")


def _freshness(batch: Batch, rule: Freshness | None, now: datetime) -> Iterator[Verdict]:
    if rule is None or batch.newest is None:
        return
    age = now - batch.newest
    late = age > timedelta(hours=rule.max_age_hours)
    hours = age.total_seconds() / 3600
    finding = f"newest event {batch.newest:%Y-%m-%d %H:%M} UTC, {hours:,.1f} h ago, {rule.max_age_hours:g} h allowed"
    yield Verdict("freshness", rule.on_failure if late else "ok", finding, "checks.freshness")
