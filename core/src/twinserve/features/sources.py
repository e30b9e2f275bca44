"""Where the definitions of a feature repo find their data."""

from __future__ import annotations

from feast import FileSource
from feast.data_format import ParquetFormat

from twinserve.settings import load_settings


def offline_source(name: str, *, timestamp: str = "event_timestamp", created: str | None = "created") -> FileSource:
    """The offline store's folder `name` as a Feast source, for use in a feature repo.

    Args:
        name: folder below the offline store; by custom the name of the feature view that it feeds.
        timestamp: column with the event time.
        created: column with the time at which the source wrote the row; None where there is none.
    """
    return FileSource(
        name=f"{name}_source",
        path=str(load_settings().offline_store / name),
        file_format=ParquetFormat(),
        timestamp_field=timestamp,
        created_timestamp_column=created or "",
    )
