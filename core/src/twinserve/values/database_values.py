"""What a database's client gives for a value: its own text where Python has nothing that holds it.

A client that can't represent one value raises, and the whole result is lost with it. As text the value reaches the step
that sets its row aside with a reason. Types whose Python form loses something (the months of an interval, the zone of
a time of day) or differs between readers come as text always.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, event

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.abc import Loader as AnyLoader
    from psycopg.adapt import Loader

# Python's end with the years 1 and 9999 and at 23:59:59; PostgreSQL's go on, have an infinity, and know 24:00
BOUNDED = ("date", "time", "timestamp", "timestamptz")
AS_TEXT = (
    "interval", "timetz", "json", "jsonb", "uuid", "inet", "cidr",
    "int4range", "int8range", "numrange", "daterange", "tsrange", "tstzrange",
    "int4multirange", "int8multirange", "nummultirange", "datemultirange", "tsmultirange", "tstzmultirange",
)  # fmt: skip


def give_text_where_needed(engine: Engine) -> None:
    """Of each new connection of `engine`; SQLite and PostgreSQL are known."""
    choose = {"postgresql": _postgres, "sqlite": _sqlite}.get(engine.dialect.name)
    if choose:
        event.listen(engine, "connect", choose)


def _postgres(connection: Connection, _: Any) -> None:
    from psycopg.pq import Format
    from psycopg.types.string import TextLoader

    for name in BOUNDED:
        if own := connection.adapters.get_loader(connection.adapters.types[name].oid, Format.TEXT):
            connection.adapters.register_loader(name, _or_text(own))
    for name in AS_TEXT:
        connection.adapters.register_loader(name, TextLoader)


def _or_text(load_own: type[AnyLoader]) -> type[Loader]:
    """A loader that gives what psycopg's own does, and the text of what that one can't load."""
    from psycopg import DataError
    from psycopg.adapt import Loader

    class OrText(Loader):
        def __init__(self, oid: int, context: Any = None) -> None:
            super().__init__(oid, context)
            self._own = load_own(oid, context)

        def load(self, data: Any) -> Any:
            try:
                return self._own.load(data)
            except (DataError, ValueError, OverflowError):  # the last where a zone moves a time over the edge
                return bytes(data).decode()

    return OrText


def _sqlite(connection: Any, _: Any) -> None:
    connection.text_factory = _text_or_bytes


def _text_or_bytes(value: bytes) -> str | bytes:
    """SQLite takes any bytes for text."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value
