"""How a database compares a column with a time, and tells its days apart."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import Date, DateTime, TypeEngine

SQLITE = "sqlite"


@dataclass(frozen=True)
class ArrivalColumn:
    """The column with the time at which a row arrived.

    Attributes:
        dialect: SQLAlchemy's name for the kind of database.
        kind: the column's type; None where the database has no such column.
    """

    dialect: str
    name: str
    kind: TypeEngine[Any] | None

    @property
    def comparable(self) -> bool:
        """Whether the database can compare it with a time: not if it is text or a number."""
        return self.dialect == SQLITE or isinstance(self.kind, Date | DateTime)

    @property
    def day(self) -> sa.ColumnElement[str]:
        """Its UTC day as text; null where it is no time."""
        if self.dialect == SQLITE:
            return sa.func.date(self._time)
        return sa.cast(sa.cast(self._time, sa.Date), sa.Text)

    @property
    def seconds(self) -> sa.ColumnElement[int]:
        """Its time of the day in whole seconds; 0 where it is a date, null where it is no time."""
        if self.dialect != SQLITE and not isinstance(self.kind, DateTime):
            return sa.literal(0)
        hour, minute, second = (sa.extract(part, self._time) for part in ("hour", "minute", "second"))
        return hour * 3600 + minute * 60 + sa.cast(second, sa.Integer)

    def floor(self, time: datetime) -> datetime:
        """The latest time not after `time` that the database tells from those before it."""
        whole = time.astimezone(UTC).replace(microsecond=0)
        by_day = self.dialect != SQLITE and isinstance(self.kind, Date)
        return whole.replace(hour=0, minute=0, second=0) if by_day else whole

    def before(self, time: datetime) -> sa.ColumnElement[bool]:
        """Earlier than `time`, which is a `floor`."""
        earlier: sa.ColumnElement[bool] = self._time < self._bound(time)
        return earlier

    def since(self, time: datetime) -> sa.ColumnElement[bool]:
        """The rows that `before` leaves: those that are null or no time as well."""
        return sa.or_(self._time >= self._bound(time), self._time.is_(None))

    def about(self, since: datetime, until: datetime) -> sa.ColumnElement[bool]:
        """At or after `since`, at or before `until`, coarsely, or null: a text that SQLite can't read may be a time."""
        return sa.or_(sa.and_(self._time >= self._bound(since), self._time <= self._bound(until)), self._time.is_(None))

    @property
    def _time(self) -> sa.ColumnElement[Any]:
        column: sa.ColumnElement[Any] = sa.column(self.name)
        # SQLite keeps times as text of any zone: its datetime() brings them to UTC, whole seconds, or to null
        return sa.func.datetime(column) if self.dialect == SQLITE else column

    def _bound(self, time: datetime) -> Any:
        utc = time.astimezone(UTC)
        if self.dialect == SQLITE:
            return utc.replace(tzinfo=None).isoformat(" ", "seconds")
        if isinstance(self.kind, Date):
            return utc.date()
        return utc if getattr(self.kind, "timezone", False) else utc.replace(tzinfo=None)
