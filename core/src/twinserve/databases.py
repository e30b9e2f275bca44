"""Database URLs: opening them, and naming them without their secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError

from twinserve.errors import BadInput, TransientError

CONNECT_SECONDS = 10
# SQLSTATE 3D000 (no such database) and class 28 (no such user, wrong password) come again at every try
PERMANENT_STATES = ("3D", "28")
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


def open_engine(url: URL) -> Engine:
    """An engine that gives up connecting after ten seconds.

    Raises:
        BadInput: no client library is installed for this kind of database.
    """
    waits = {"connect_timeout": CONNECT_SECONDS} if url.get_backend_name() == "postgresql" else {}
    try:
        return create_engine(url, connect_args=waits)
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise BadInput(
            f"no client library here for {url.drivername!r}", fix="Install one, or use SQLite or PostgreSQL"
        ) from error


@contextmanager
def database_errors(name: str) -> Iterator[None]:
    """Turn what a client library raises into our errors; `name` is a `public_name`.

    Raises:
        TransientError: not reachable, locked, restarted, or out of space.
        BadInput: it refuses the login or a statement: no such database or user, a wrong password, want of rights.
    """
    try:
        yield
    except OperationalError as error:
        if _comes_again(error):
            raise BadInput(
                f"{name} refuses: {_reason(error)}", fix="Check database, user and password in the URL"
            ) from error
        raise TransientError(f"{name} can't be used now: {_reason(error)}", fix="Is it up and reachable?") from error
    except DBAPIError as error:
        raise BadInput(f"{name} refuses: {_reason(error)}", fix="Check its tables and our user's rights") from error


def _comes_again(error: OperationalError) -> bool:
    state = getattr(error.orig, "sqlstate", None) or ""
    return state.startswith(PERMANENT_STATES) or LOGIN_REFUSED.search(str(error.orig)) is not None


def _reason(error: DBAPIError) -> str:
    """The library's first line; neither psycopg nor sqlite3 repeats a password in it."""
    lines = str(error.orig).strip().splitlines()
    return lines[0] if lines else type(error.orig).__name__
