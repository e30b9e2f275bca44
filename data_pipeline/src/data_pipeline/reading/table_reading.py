"""One reading of a table, while nobody can change it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy import Connection

from data_pipeline.reading.arrival_column import ArrivalColumn
from data_pipeline.reading.interval import Interval
from data_pipeline.reading.source import CHUNK_ROWS, Account, Asked, arrived
from data_pipeline.reading.watermarks import Seen, Watermark
from twinserve.source_values.from_python import column_of
from twinserve.source_values.plain_columns import plain_table

DAYS_NAMED = 10
DAYS_APART = 500  # where more days differ than this, the whole table is read

Query = sa.Select[*tuple[Any, ...]]
Days = dict[str, tuple[int, int]]  # day of arrival → rows, and the sum of their times of day in seconds


class TableReading:
    """What is asked of a table within one snapshot of it: what is counted is what is read."""

    def __init__(self, connection: Connection, table: sa.TableClause, arrival: ArrivalColumn) -> None:
        self._connection, self._table, self._arrival = connection, table, arrival

    def stretch(self, columns: list[str], since: datetime | None, until: datetime | None) -> Iterator[pa.Table]:
        """See `Source.rows`."""
        query = self._select(columns)
        if since is not None and self._arrival.comparable:
            query = query.where(self._arrival.since(since) if until is None else self._arrival.about(since, until))
        for chunk in self._chunks(query, columns):
            # the database's own comparison may be coarse: whole seconds, whole days, none at all
            yield chunk if until is None else arrived(chunk, self._arrival.name, since, until)

    def interval(self, interval: Interval, asked: Asked, account: Account) -> Iterator[pa.Table]:
        """The rows that arrived in `interval`."""
        account.since, account.at_source = interval.since, self._count()
        for chunk in self.stretch(asked.columns.pulled, interval.since, interval.until):
            account.take(chunk, asked)
            yield chunk
        account.reached = None
        account.pass_over("arrived outside the interval", account.at_source - account.read)

    def news(self, asked: Asked, account: Account) -> Iterator[pa.Table]:
        """What arrived since the last reading less the look-back, and what came late to the days before."""
        account.since = self._begin(asked.last, asked.lookback) if asked.last else None
        account.reached = asked.last.at if asked.last else None
        passed = self._days(account.since) if account.since else {}
        if asked.last and account.since:
            _compare(passed, asked.last.seen, account.since, account)
        for chunk in self._wanted(asked.columns.pulled, account):
            account.take(chunk, asked)
            yield chunk
        if account.since:
            left = sum(rows for day, (rows, _) in passed.items() if day not in account.late_days)
            account.pass_over(f"arrived before {account.since.isoformat()}", left)
        account.at_source = self._count()
        account.seen = self._seen(asked.lookback, account)

    def _begin(self, last: Watermark, lookback: timedelta) -> datetime | None:
        """Where to read on; None: at the beginning."""
        if last.at is None or not self._arrival.comparable:
            return None
        since = self._arrival.floor(last.at - lookback)
        counted = last.seen.before if last.seen else None
        if counted is None or since == counted:
            return since
        # the look-back was changed: nothing is left out that was not counted, and only whole days can be compared
        return counted if counted < since else since.replace(hour=0, minute=0, second=0)

    def _wanted(self, columns: list[str], account: Account) -> Iterator[pa.Table]:
        query = self._select(columns)
        if account.since is None:
            yield from self._chunks(query, columns)
            return
        if account.late_days:
            late = self._arrival.day.in_(account.late_days)
            yield from self._chunks(query.where(late, self._arrival.before(account.since)), columns)
        yield from self._chunks(query.where(self._arrival.since(account.since)), columns)

    def _seen(self, lookback: timedelta, account: Account) -> Seen | None:
        """What the next run will find if nothing comes late; None if it must read all again anyway."""
        if account.reached is None or not self._arrival.comparable:
            return None
        before = self._arrival.floor(account.reached - lookback)
        days = self._days(before)
        counts, sums = ({day: facts[part] for day, facts in days.items()} for part in (0, 1))
        return Seen(account.at_source, before=before, days=counts, sums=sums)

    def _days(self, before: datetime) -> Days:
        day = self._arrival.day.label("day")
        query = sa.select(day, sa.func.count(), sa.func.sum(self._arrival.seconds)).select_from(self._table)
        found = self._connection.execute(query.where(self._arrival.before(before)).group_by(day))
        return {str(day): (int(rows), int(seconds or 0)) for day, rows, seconds in found}

    def _count(self) -> int:
        return int(self._connection.execute(sa.select(sa.func.count()).select_from(self._table)).scalar_one())

    def _select(self, columns: list[str]) -> Query:
        return sa.select(*map(sa.column, columns)).select_from(self._table)

    def _chunks(self, query: Query, columns: list[str]) -> Iterator[pa.Table]:
        streaming = self._connection.execution_options(stream_results=True, yield_per=CHUNK_ROWS)
        for chunk in streaming.execute(query).partitions():
            values = zip(*chunk, strict=True)
            yield plain_table(pa.table({name: column_of(column) for name, column in zip(columns, values, strict=True)}))


def _compare(passed: Days, seen: Seen | None, since: datetime, account: Account) -> None:
    """Find the days of which the source has more or fewer rows than were read, or as many that arrived at other times,
    and say what is not compared."""
    moment = since.isoformat()
    if seen is None or seen.before is None:
        account.warnings.append(
            f"rows that arrived before {moment} were not counted when they were read: what came late before then is "
            "not known. `data-pipeline ingest --full` reads all"
        )
        return
    today = since.date().isoformat()
    read = seen.days if since == seen.before else {day: n for day, n in seen.days.items() if day < today}
    both = {day: (passed.get(day, (0, 0)), read.get(day, 0)) for day in passed | read}
    account.late_days = {
        day: (now, before)
        for day, ((now, seconds), before) in both.items()
        if now != before or seconds != seen.sums.get(day, seconds)
    }
    if account.late_days:
        account.warnings.append(_told(account.late_days))
    if len(account.late_days) > DAYS_APART:
        account.since = None
    elif compared := sum(rows for rows, _ in passed.values()):
        account.notes.append(
            f"{compared:,} rows that arrived before {moment} were counted, not compared: what was changed in place "
            "there is not seen. `data-pipeline ingest --full` reads all, `compare_days` in sources.yaml more"
        )


def _told(days: dict[str, tuple[int, int]]) -> str:
    named = [f"{day} ({now:,} rows, {before:,} when it was read)" for day, (now, before) in sorted(days.items())]
    more = f" and {len(named) - DAYS_NAMED} more" if len(named) > DAYS_NAMED else ""
    return (
        "the source has another number of rows than were read, or rows that arrived at other times, of "
        f"{len(named)} days of arrival before the look-back; they are read again: {', '.join(named[:DAYS_NAMED])}{more}"
    )
