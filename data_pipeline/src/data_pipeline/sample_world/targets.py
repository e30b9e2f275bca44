"""Which kind of database a URL means."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.engine import URL

from data_pipeline.sample_world.postgres_target import PostgresTarget
from data_pipeline.sample_world.sqlite_target import SqliteTarget
from data_pipeline.sample_world.tables import Target
from twinserve.errors import BadInput
from twinserve.values.databases import open_engine, public_name


def target_for(url: URL) -> Target:
    """The database behind `url`.

    Raises:
        BadInput: neither PostgreSQL nor a SQLite file.
    """
    if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
        return SqliteTarget(public_name(url), Path(url.database).absolute())
    if url.get_backend_name() == "postgresql":
        return PostgresTarget(public_name(url), open_engine(url))
    raise BadInput(f"generate can't write to {public_name(url)}", fix="Use a SQLite file or PostgreSQL")
