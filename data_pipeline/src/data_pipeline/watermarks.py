"""How far each source has been read: one small file per feature view and source."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from twinserve.atomic import write_atomically
from twinserve.errors import PermanentError


@dataclass(frozen=True)
class Watermark:
    """The latest arrival (or event) time published from a source.

    Attributes:
        source: public name of the source, without secrets.
        column: the source's column that the time was read from.
        at: aware, UTC.
    """

    view: str
    source: str
    column: str
    at: datetime


class Watermarks:
    """The folder of watermarks: `<root>/<view>/<hash of the source's name>.json`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, view: str, source: str, column: str) -> datetime | None:
        """How far `source` was read; None before its first run, or if it was read by another column.

        Raises:
            PermanentError: the file is damaged.
        """
        file = self._file(view, source)
        if not file.exists():
            return None
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            at = datetime.fromisoformat(found["at"])
        except (ValueError, KeyError, TypeError) as error:
            raise PermanentError(
                f"the watermark {file} is damaged", fix="Delete it: all rows are read again"
            ) from error
        return at if found["column"] == column else None

    def advance(self, mark: Watermark) -> None:
        """Move forward to `mark`; a watermark never moves back."""
        before = self.read(mark.view, mark.source, mark.column)
        if before is None or mark.at > before:
            content = asdict(mark) | {"at": mark.at.isoformat()}
            write_atomically(self._file(mark.view, mark.source), json.dumps(content, indent=1) + "\n")

    def know(self, database: str) -> bool:
        """Whether anything was ever published from a table of this database, by its public name."""
        marks = (json.loads(file.read_text(encoding="utf-8")) for file in self.root.glob("*/*.json"))
        return any(str(mark.get("source", "")).partition("#")[0] == database for mark in marks)

    def _file(self, view: str, source: str) -> Path:
        return self.root / view / f"{_key(source)}.json"


def _key(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()[:16]
