"""Database URLs: opening them, and naming them without their secrets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError

from twinserve.errors import BadInput, TransientError

CONNECT_SECONDS = 10


def parse_url(text: str) -> URL:
    """A SQLAlchemy URL; PostgreSQL always through psycopg.

    Raises:
        BadInput: no URL; the message does not repeat it, as it may hold a password.
    """
    try:
        url = make_url(text)
    except ArgumentError:
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
        BadInput: it refuses a statement, for want of rights for example.
    """
    try:
        yield
    except OperationalError as error:
        raise TransientError(f"{name} can't be used now: {_reason(error)}", fix="Is it up and reachable?") from error
    except DBAPIError as error:
        raise BadInput(f"{name} refuses: {_reason(error)}", fix="Check its tables and our user's rights") from error


def _reason(error: DBAPIError) -> str:
    """The library's first line; neither psycopg nor sqlite3 repeats a password in it."""
    lines = str(error.orig).strip().splitlines()
    return lines[0] if lines else type(error.orig).__name__
