"""The step `ingest`: what is new at a source, as found, into the run's folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_pipeline.columns import map_columns
from data_pipeline.interval import Interval
from data_pipeline.reading.source import Source
from data_pipeline.run_folder import ViewRun
from data_pipeline.sources import SourceRules
from data_pipeline.watermarks import Watermarks
from twinserve.atomic import atomic_file
from twinserve.features.views import ViewSpec
from twinserve.progress import RowProgress
from twinserve.source_values.plain_columns import readable_column
from twinserve.times import INSTANT, as_instants


def ingest(
    run: ViewRun,
    view: ViewSpec,
    rules: SourceRules,
    sources: list[Source],
    watermarks: Watermarks,
    now: datetime,
    interval: Interval | None = None,
) -> dict[str, Any]:
    """Pull the rows that arrived since the watermark less the look-back; the watermark itself stays.

    With an `interval`, those that arrived in it, wherever the watermark is; that one never moves for them.

    Returns:
        `rows`, when the read began (`read_at`), and for each source its `name`, `rows`, `since` (null: from the
        beginning), `until` (null: to the end) and `reached`, the latest arrival that is not in the future.
        `explore-and-validate` makes that the watermark once it has published; with an `interval` it is null, and the
        watermark stays.
    """
    if run.did("explore-and-validate"):
        run.changes.forget()
    run.begin("ingest")
    run.bind(view)
    shutil.rmtree(run.raw, ignore_errors=True)
    run.raw.mkdir(parents=True)
    with RowProgress(f"ingest {view.name}", None) as progress:
        pulls = [_pull(run, view, rules, source, watermarks, now, interval, progress) for source in sources]
    outcome = {
        "rows": sum(pull["rows"] for pull in pulls),
        "path": str(run.raw),
        "read_at": now.isoformat(),
        "sources": pulls,
    }
    run.finish("ingest", outcome)
    return outcome


def _pull(
    run: ViewRun,
    view: ViewSpec,
    rules: SourceRules,
    source: Source,
    watermarks: Watermarks,
    now: datetime,
    interval: Interval | None,
    progress: RowProgress,
) -> dict[str, Any]:
    columns = map_columns(view, rules, source.columns(), source.name)
    mark = None if interval else watermarks.read(view.name, source.name, columns.arrival)
    since, until = (interval.since, interval.until) if interval else (mark and mark - rules.lookback, None)
    rows, reached, parts = 0, mark, []
    for found in _filled(source.rows(columns.pulled, columns.arrival, since, until)):
        chunk = _readable(found, source.name)
        parts.append(_write_part(run, chunk))
        rows += chunk.num_rows
        progress.advance(chunk.num_rows)
        if not interval:
            reached = _later(reached, _latest(chunk[columns.arrival], now))
    return {
        "name": source.name,
        "ordered": source.ordered,
        "rows": rows,
        "since": since.isoformat() if since else None,
        "until": until.isoformat() if until else None,
        "arrival": columns.arrival,
        "reached": reached.isoformat() if reached else None,
        "columns": columns.source_of,
        "parts": parts,
    }


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


def _latest(arrivals: pa.ChunkedArray, now: datetime) -> datetime | None:
    times = as_instants(arrivals).values
    past = times.filter(pc.less_equal(times, pa.scalar(now, INSTANT)))
    latest: datetime | None = pc.max(past).as_py()
    return latest


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((time for time in (one, other) if time), default=None)
