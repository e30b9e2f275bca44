"""Where the definitions of a feature repo find their data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from feast import FileSource
from feast.data_format import ParquetFormat

from twinserve.settings import Settings, load_settings

# whoever imports a feature repo has changed the working directory by then, against which a relative home would be read
_importing_for: ContextVar[Settings | None] = ContextVar("importing_for", default=None)


def offline_source(
    name: str,
    *,
    timestamp: str = "event_timestamp",
    created: str | None = "created",
    field_mapping: dict[str, str] | None = None,
) -> FileSource:
    """The offline store's folder `name` as a Feast source, for use in a feature repo.

    Args:
        name: folder below the offline store; by custom the name of the feature view that it feeds.
        timestamp: column with the event time.
        created: column with the time at which the source wrote the row; None where there is none.
        field_mapping: stored column → name of the key, feature or time in Feast, where they differ.
    """
    settings = _importing_for.get() or load_settings()
    return FileSource(
        name=f"{name}_source",
        path=str(settings.offline_store / name),
        file_format=ParquetFormat(),
        timestamp_field=timestamp,
        created_timestamp_column=created or "",
        field_mapping=field_mapping,
    )


@contextmanager
def definitions_for(settings: Settings) -> Iterator[None]:
    """Inside the block, `offline_source` finds its folders by these settings instead of the environment."""
    token = _importing_for.set(settings)
    try:
        yield
    finally:
        _importing_for.reset(token)
