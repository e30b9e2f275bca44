"""The step `ingest`: what is new at a source, as found, into the run's folder."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_pipeline.columns import ColumnMap, map_columns
from data_pipeline.forgetting.forgotten_keys import ForgottenKeys
from data_pipeline.reading.interval import Interval
from data_pipeline.reading.source import Account, Asked, Source
from data_pipeline.reading.watermarks import Watermark, Watermarks
from data_pipeline.run_folder import ViewRun
from data_pipeline.sources import Snapshot, SourceRules
from twinserve.features.feast_repo.views import ViewSpec
from twinserve.files.atomic import atomic_file
from twinserve.source_values.plain_columns import readable_column
from twinserve.steps.progress import RowProgress

FILES_NAMED = 10


def ingest(
    run: ViewRun,
    view: ViewSpec,
    rules: SourceRules,
    sources: list[Source],
    watermarks: Watermarks,
    now: datetime,
    interval: Interval | None = None,
    *,
    full: bool = False,
    whole: bool = False,
    passed_over: Sequence[str] = (),
    forgotten: ForgottenKeys | None = None,
) -> dict[str, Any]:
    """Pull what is new at the sources; the watermarks stay.

    Of a table, that is what arrived since the watermark less the look-back, and the days before it that have more or
    fewer rows than were read of them; of files, those whose content changed, whole.

    Args:
        interval: the rows that arrived in it instead; no watermark moves for them.
        full: all rows instead, whatever was read before.
        whole: the sources are all that the rules name: what a `snapshot` lacks may be deleted.
        passed_over: files at the source that nobody can read, to be named; while there are any, nothing is deleted.
        forgotten: keys whose rows are not to come back; they count as not read, under `forgotten`.

    Returns:
        When the read began (`read_at`), by what stored rows that are not among these are deleted (`snapshot`), `rows`
        that were read, `rows_at_source`, `rows_not_read` by reason, `warnings`, and the same for each of `sources`,
        with its `name`, `since` (null: from the beginning), `until` (null: to the end), `late_days` and `reached`, the
        latest arrival that is not in the future. `explore-and-validate` makes that the watermark once it has published;
        with an `interval` it is null, and the watermark stays.

    Raises:
        TransientError: a source changed while it was read.
    """
    if run.did("explore-and-validate"):
        run.changes.forget()
        run.deleted.unlink(missing_ok=True)
    run.begin("ingest")
    run.bind(view)
    shutil.rmtree(run.raw, ignore_errors=True)
    run.raw.mkdir(parents=True)
    snapshot = rules.snapshot if whole and interval is None and not passed_over else None
    scope = _Scope(run, view, rules, watermarks, now, interval, full, snapshot, forgotten)
    with RowProgress(f"ingest {view.name}", None) as progress:
        pulls = sorted((_pull(scope, source, progress) for source in sources), key=_first_read)
    outcome = {
        "rows": sum(pull["rows"] for pull in pulls),
        "rows_at_source": sum(pull["rows_at_source"] for pull in pulls),
        "rows_not_read": dict(sum((Counter(pull["rows_not_read"]) for pull in pulls), Counter())),
        "path": str(run.raw),
        "read_at": now.isoformat(),
        "snapshot": snapshot,
        "sources": pulls,
        "files_passed_over": list(passed_over),
        "warnings": [
            *_unread(passed_over, rules.snapshot),
            *(f"{p['name']}: {said}" for p in pulls for said in p["warnings"]),
        ],
    }
    run.finish("ingest", outcome)
    return outcome


@dataclass(frozen=True)
class _Scope:
    """What of each source is read in this run."""

    run: ViewRun
    view: ViewSpec
    rules: SourceRules
    watermarks: Watermarks
    now: datetime
    interval: Interval | None
    full: bool
    snapshot: Snapshot | None
    forgotten: ForgottenKeys | None

    def kept(self, chunk: pa.Table, columns: ColumnMap) -> pa.Table:
        """The rows of keys that are not forgotten."""
        if self.forgotten is None:
            return chunk
        return chunk.filter(pa.array(~self.forgotten.rows(chunk, self.view, columns.source_of)))

    def asked(self, source: Source, columns: ColumnMap) -> Asked:
        """What to ask of `source`."""
        event = columns.source_of[self.view.timestamp]
        lookback = self.rules.lookback(by_event=columns.arrival == event)
        last = self.watermarks.read(self.view.name, source.name, columns.arrival)
        return Asked(columns, event, last, lookback, self.interval, self.now, self._digest(columns))

    def why_all(self, asked: Asked) -> str | None:
        """Why everything is read though the source was read before; None: it need not be."""
        if asked.last is None or self.interval:
            return None
        if self.full:
            return "all rows were asked for"
        if self.snapshot:
            return "it is a snapshot"
        if asked.last.rules not in (None, asked.rules):
            return "types, names or bounds of columns are no longer those by which it was read last"
        if not any(self.view.path.glob("day=*/*.parquet")):
            return "the offline store is empty"
        return None

    def _digest(self, columns: ColumnMap) -> str:
        """Changes with what a value is read as, and with what it must be."""
        bounds = {name: check.model_dump() for name, check in self.rules.checks.columns.items()}
        text = json.dumps([columns.source_of, self.view.columns, bounds], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _pull(scope: _Scope, source: Source, progress: RowProgress) -> dict[str, Any]:
    columns = map_columns(scope.view, scope.rules, source.columns(), source.name)
    asked, account = scope.asked(source, columns), Account()
    last = asked.last
    if why := scope.why_all(asked):
        account.notes.append(f"read from the beginning: {why}")
        asked = replace(asked, last=None)
    parts, forgotten = [], 0
    for found in _filled(source.read(asked, account)):
        chunk = scope.kept(_readable(found, source.name), columns)
        forgotten += found.num_rows - chunk.num_rows
        progress.advance(found.num_rows)
        if chunk.num_rows:
            parts.append(_write_part(scope.run, chunk))
    account.balance(source.name)
    until = scope.interval.until.isoformat() if scope.interval else None
    read_at = last.first_read(account.seen, scope.now) if last else scope.now
    mark = Watermark(scope.view.name, source.name, columns.arrival, account.reached, asked.rules, account.seen, read_at)
    return {
        "name": source.name,
        "ordered": source.ordered,
        **account.to_dict(),
        "rows": account.read - forgotten,
        "rows_not_read": {**account.not_read, **({"forgotten": forgotten} if forgotten else {})},
        "since": account.since.isoformat() if account.since else None,
        "until": until,
        "arrival": columns.arrival,
        "reached": account.reached.isoformat() if account.reached else None,
        "columns": columns.source_of,
        "parts": parts,
        "watermark": None if scope.interval else mark.to_dict(),
    }


def _first_read(pull: dict[str, Any]) -> str:
    """Files whose content was read earlier come before: of two rows of one name the one read later holds, whether they
    are read in two runs or anew in one."""
    return (pull["watermark"] or {}).get("read_at") or ""


def _unread(files: Sequence[str], snapshot: Snapshot | None) -> list[str]:
    if not files:
        return []
    more = f" and {len(files) - FILES_NAMED} more" if len(files) > FILES_NAMED else ""
    kept = "; rows of them may be stored: this run deletes nothing" if snapshot else ""
    return [f"files of no known kind were not read: {', '.join(files[:FILES_NAMED])}{more}{kept}"]


def _filled(chunks: Iterator[pa.Table]) -> Iterator[pa.Table]:
    return (chunk for chunk in chunks if chunk.num_rows)


def _readable(chunk: pa.Table, place: str) -> pa.Table:
    return pa.table({name: readable_column(chunk[name], f"{place}: column {name}") for name in chunk.column_names})


def _write_part(run: ViewRun, chunk: pa.Table) -> str:
    name = f"part-{len(list(run.raw.iterdir())):06d}.parquet"
    with atomic_file(run.raw / name) as draft:
        # plain names and types only: pandas' notes on an index would confuse readers
        pq.write_table(chunk.replace_schema_metadata(None), draft)
    return name
