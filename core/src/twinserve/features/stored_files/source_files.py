"""The Parquet files behind a Feast file source, and which of them can matter to a stretch of time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from twinserve.errors import BadInput, StepMissing

PUSHED = "pushed-0.parquet"  # beside part-0.parquet of the same day, which a publishing run replaces
_DAY = re.compile(r"day=(\d{4}-\d{2}-\d{2})")
_DAY_LENGTH = 86_400_000_000
_MARGIN = _DAY_LENGTH  # somebody's folders may be days of another zone


@dataclass(frozen=True)
class Span:
    """A stretch of time in microseconds since 1970 UTC, both ends within; None is open."""

    first: int | None = None
    last: int | None = None

    def touches(self, day: date) -> bool:
        """Whether rows of a folder `day=…` can lie in it."""
        begin = (day - date(1970, 1, 1)).days * _DAY_LENGTH
        too_old = self.first is not None and begin + _DAY_LENGTH + _MARGIN <= self.first
        too_new = self.last is not None and begin - _MARGIN > self.last
        return not (too_old or too_new)


def source_path(source: Any, repo: Path | None) -> Path:
    """Where a Feast `FileSource` points: a Parquet file, or a folder of them.

    Raises:
        BadInput: it is not on a disk of ours, or not Parquet.
    """
    if not _is_parquet(source):
        name = getattr(source, "name", "of a feature view without one")
        raise BadInput(f"source {name} is not Parquet", fix="Convert it, or use another offline store")
    path = local_path(source, repo)
    if path is None:
        raise BadInput(f"source {source.name} is not on this machine: {source.path}", fix="Give a path")
    return path


def local_path(source: Any, repo: Path | None) -> Path | None:
    """Where a Feast `FileSource` points, relative paths seen from the feature repo; None if it is not Parquet, or not
    on a disk of ours."""
    if not _is_parquet(source):
        return None
    parts = urlsplit(source.path)
    if parts.scheme not in ("", "file"):
        return None
    path = Path(unquote(parts.path) if parts.scheme else source.path)
    return path if path.is_absolute() or repo is None else Path(repo) / path


def _is_parquet(source: Any) -> bool:
    """Feast reads a file whose format is not named as Parquet; sources other than files have no format."""
    return hasattr(source, "file_format") and type(source.file_format).__name__ in ("ParquetFormat", "NoneType")


def parquet_in(path: Path) -> list[Path]:
    """The file itself, or the Parquet files below a folder in the order of their names; drafts, which begin with a dot,
    are none."""
    return [path] if path.is_file() else sorted(p for p in path.rglob("*.parquet") if not p.name.startswith("."))


def parquet_files(path: Path) -> list[Path]:
    """The Parquet files at `path`, in the order of their names.

    Raises:
        StepMissing: there are none.
    """
    files = parquet_in(path)
    if not files:
        raise StepMissing(
            f"no features in {path}",
            fix="Run the DAG db_to_offline_store, or `data-pipeline ingest` and the two steps after it",
        )
    return files


def files_touching(root: Path, files: list[Path], span: Span) -> list[Path]:
    """Those that can hold rows of `span`: all but the ones below a `day=YYYY-MM-DD` well off it."""
    return [file for file in files if (day := day_of(file.relative_to(root))) is None or span.touches(day)]


def day_of(file: Path) -> date | None:
    """The day of the folder `day=YYYY-MM-DD` that the file is in; None in any other, such as that of no real day."""
    for part in file.parts[:-1]:
        if found := _DAY.fullmatch(part):
            try:
                return date.fromisoformat(found[1])
            except ValueError:
                return None
    return None
