"""The embedded MLflow's database, which appears whole or not at all.

MLflow makes it in dozens of commits, and never goes on with a part of it: a step killed meanwhile, or two that begin at
once, would leave a home in which nothing can be trained.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twinserve.files.atomic import atomic_file
from twinserve.files.locks import one_at_a_time
from twinserve.settings import Settings


def make_database(settings: Settings) -> None:
    """Make it if there is none; whoever comes meanwhile waits.

    Raises:
        TransientError: the disk is full, or another process takes for ever.
    """
    file = settings.home / "mlflow" / "mlflow.db"
    if file.exists():
        return
    with one_at_a_time(settings.home / "locks" / "mlflow"):
        if not file.exists():
            with atomic_file(file) as draft:
                _fill(draft)


def _fill(file: Path) -> None:
    import sqlalchemy as sa
    from mlflow.store.db.utils import _initialize_tables

    engine = sa.create_engine(f"sqlite:///{file}")
    sa.event.listen(engine, "connect", _without_journal)
    try:
        _initialize_tables(engine)  # type: ignore[no-untyped-call]
    finally:
        engine.dispose()


def _without_journal(connection: Any, _: object) -> None:
    """A draft needs none: a kill or an error ends it."""
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
