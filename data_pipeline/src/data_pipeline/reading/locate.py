"""From what the user named to sources."""

from __future__ import annotations

from pathlib import Path

from data_pipeline.reading.database import DatabaseTable
from data_pipeline.reading.files import file_sources, files_passed_over
from data_pipeline.reading.source import Source
from twinserve.errors import BadInput, StepMissing
from twinserve.values.databases import open_engine, parse_url, public_name


def is_url(source: str) -> bool:
    """Whether `source` is a database URL, not a path."""
    return "://" in source


def locate(source: str, table: str | None) -> list[Source]:
    """The sources behind a SQLAlchemy URL (its `table`), a file, a folder of files, or a pattern.

    Raises:
        BadInput: nothing there that can be read, or a URL and no table.
        StepMissing: a SQLite file that was not made yet.
    """
    if not is_url(source):
        return file_sources(Path(source).expanduser())
    if table is None:
        raise BadInput("a database is given, and sources.yaml names a `file`", fix="Give a file, or name a `table`")
    url = parse_url(source)
    # SQLite would make an empty file of a missing one
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        raise StepMissing(
            f"no source database {url.database}", fix="Set TWINSERVE_SOURCE_URL, or run `data-pipeline generate`"
        )
    return [DatabaseTable(open_engine(url), public_name(url), table)]


def passed_over(source: str) -> list[str]:
    """Files behind `source` that are of no known kind, so that nobody reads them."""
    return [] if is_url(source) else files_passed_over(Path(source).expanduser())
