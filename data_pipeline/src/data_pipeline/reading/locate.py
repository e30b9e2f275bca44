"""From what the user named to sources."""

from __future__ import annotations

from pathlib import Path

from data_pipeline.reading.database import DatabaseTable
from data_pipeline.reading.files import file_sources
from data_pipeline.reading.source import Source
from twinserve.databases import open_engine, parse_url, public_name
from twinserve.errors import StepMissing


def is_url(source: str) -> bool:
    """Whether `source` is a database URL, not a path."""
    return "://" in source


def locate(source: str, table: str) -> list[Source]:
    """The sources behind a SQLAlchemy URL (its `table`), a file, or a folder of files.

    Raises:
        BadInput: nothing there that can be read.
        StepMissing: a SQLite file that was not made yet.
    """
    if not is_url(source):
        return file_sources(Path(source).expanduser())
    url = parse_url(source)
    # SQLite would make an empty file of a missing one
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        raise StepMissing(
            f"no source database {url.database}", fix="Set TWINSERVE_SOURCE_URL, or run `data-pipeline generate`"
        )
    return [DatabaseTable(open_engine(url), public_name(url), table)]
