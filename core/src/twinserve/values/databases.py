"""Database URLs: opening them, and naming them without their secrets."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, NoSuchModuleError, OperationalError

from twinserve.errors import BadInput, TransientError
from twinserve.values.database_values import give_text_where_needed

CONNECT_SECONDS = 10
# what comes again at every try, by the beginning of PostgreSQL's SQLSTATE or of SQLite's name for it
REFUSALS = {
    "3D": "Check the database in the URL",
    "28": "Check database, user and password in the URL",
    "42501": "Give our user the right to read it",
    "42": "Check the names of tables and columns",
    "22": "Correct the value at the source",
    "SQLITE_NOTADB": "Name a SQLite file in the URL",
    "SQLITE_CORRUPT": "Restore the file",
    "SQLITE_READONLY": "Give us the right to write to it",
    "SQLITE_ERROR": "Check the names of tables and columns",
}
# a login that fails is told in words only: libpq keeps the SQLSTATE to itself. In another language than English it
# counts as passing trouble, and costs the retries
LOGIN_REFUSED = re.compile(
    r"""FATAL:\s+(database\ ".*"\ does\ not\ exist | role\ ".*"\ (does\ not\ exist | is\ not\ permitted\ to\ log\ in)
    | \w+\ authentication\ failed | no\ pg_hba\.conf\ entry | permission\ denied\ for\ database)
    | fe_sendauth:\ no\ password\ supplied""",
    re.VERBOSE,
)


def parse_url(text: str) -> URL:
    """A SQLAlchemy URL; PostgreSQL always through psycopg.

    Raises:
        BadInput: no URL; the message does not repeat it, as it may hold a password.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # the latter for a port that is no number
        raise BadInput(
            "the source database's URL can't be read",
            fix="Write it like postgresql://user:password@host:5432/name",
        ) from None
    backend = url.get_backend_name()
    return url.set(drivername="postgresql+psycopg") if backend == "postgresql" else url


def public_name(url: URL) -> str:
    """Backend, host, port and database: tells one source from another, without user, password, options."""
    if url.get_backend_name() == "sqlite":
        return f"sqlite:///{Path(url.database or ':memory:').absolute()}"
    # a host given as an option is how a Unix socket is named
    host = url.host or str(url.query.get("host", "localhost"))
    return f"{url.get_backend_name()}://{host}:{url.port or 'default'}/{url.database}"


def source_key(source: str) -> str:
    """What the files about a source are named after: a digest of its public name."""
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def open_engine(url: URL) -> Engine:
    """An engine that gives up connecting after ten seconds, and gives text for what Python can't represent.

    Raises:
        BadInput: no client library is installed for this kind of database.
    """
    options: dict[str, Any] = {}
    if url.get_backend_name() == "postgresql":
        options = {"connect_args": {"connect_timeout": CONNECT_SECONDS}, "use_native_hstore": False}
    try:
        engine = create_engine(url, **options)
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise BadInput(
            f"no client library here for {url.drivername!r}", fix="Install one, or use SQLite or PostgreSQL"
        ) from error
    give_text_where_needed(engine)
    return engine


@contextmanager
def database_errors(name: str) -> Iterator[None]:
    """Turn what a client library raises into our errors; `name` is a `public_name`.

    Raises:
        TransientError: not reachable, locked, restarted, or out of space.
        BadInput: it refuses the login or a statement: no such database, user or table, a wrong password, want of
            rights, no database at all.
    """
    try:
        yield
    except DBAPIError as error:
        reason = _reason(error)
        if fix := _for_good(error):
            raise BadInput(f"{name} refuses: {reason}", fix=fix) from error
        raise TransientError(f"{name} can't be used now: {reason}", fix="Is it up and reachable?") from error


def _for_good(error: DBAPIError) -> str | None:
    """What the user must mend before another try; None for trouble that may pass."""
    state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "sqlite_errorname", None) or ""
    told = next((fix for start, fix in REFUSALS.items() if state.startswith(start)), None)
    if told or not isinstance(error, OperationalError | InterfaceError):
        return told or "See what it says"
    return REFUSALS["28"] if LOGIN_REFUSED.search(str(error.orig)) else None


def _reason(error: DBAPIError) -> str:
    """The library's first line; neither psycopg nor sqlite3 repeats a password in it."""
    lines = str(error.orig).strip().splitlines()
    return lines[0] if lines else type(error.orig).__name__
