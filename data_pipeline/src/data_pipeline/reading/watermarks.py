"""How far each source has been read, and what was seen of it: one small file per feature view and source."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from twinserve.errors import PermanentError
from twinserve.files.atomic import write_atomically
from twinserve.values.databases import source_key


@dataclass(frozen=True)
class Seen:
    """What a source was like when it was read, for the next run to compare.

    Attributes:
        rows: in all.
        digest: of a file's content.
        before: of a table: the days count what arrived before then.
        days: of a table: day of arrival → rows, all of which have been read.
        sums: of a table: day of arrival → sum of their times of day in seconds; none where an earlier version counted.
    """

    rows: int
    digest: str | None = None
    before: datetime | None = None
    days: dict[str, int] = field(default_factory=dict)
    sums: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        before = self.before.isoformat() if self.before else None
        return {"rows": self.rows, "digest": self.digest, "before": before, "days": self.days, "sums": self.sums}

    @classmethod
    def of(cls, found: dict[str, Any]) -> Self:
        """From what `to_dict` gave."""
        before = datetime.fromisoformat(found["before"]) if found["before"] else None
        return cls(int(found["rows"]), found["digest"], before, dict(found["days"]), dict(found.get("sums", {})))


@dataclass(frozen=True)
class Watermark:
    """How far a source was published.

    Attributes:
        source: public name of the source, without secrets.
        column: the source's column that tells when a row arrived (or happened).
        at: the latest such time, aware; None: no row had one.
        rules: digest of how values were read; None: an earlier version did not note it.
        seen: None: an earlier version did not note it, or there is nothing to compare.
        read_at: when a file's content was first read, aware; None: an earlier version did not note it.
    """

    view: str
    source: str
    column: str
    at: datetime | None
    rules: str | None = None
    seen: Seen | None = None
    read_at: datetime | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "view": self.view,
            "source": self.source,
            "column": self.column,
            "at": self.at.isoformat() if self.at else None,
            "rules": self.rules,
            "seen": self.seen.to_dict() if self.seen else None,
            "read_at": self.read_at.isoformat() if self.read_at else None,
        }

    @classmethod
    def of(cls, found: dict[str, Any]) -> Self:
        """From what `to_dict` gave, or an earlier version wrote."""
        return cls(
            found["view"],
            found["source"],
            found["column"],
            datetime.fromisoformat(found["at"]) if found["at"] else None,
            found.get("rules"),
            Seen.of(found["seen"]) if found.get("seen") else None,
            datetime.fromisoformat(found["read_at"]) if found.get("read_at") else None,
        )

    def first_read(self, seen: Seen | None, now: datetime) -> datetime | None:
        """When the content of a file was first read that is `seen` at a reading now; None: in an earlier version."""
        same = seen and self.seen and seen.digest and seen.digest == self.seen.digest
        return self.read_at if same else now

    def older_than(self, other: Watermark) -> bool:
        """Whether `other` came further."""
        return other.at is not None and (self.at is None or self.at < other.at)


class Watermarks:
    """The folder of watermarks: `<root>/<view>/<hash of the source's name>.json`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, view: str, source: str, column: str) -> Watermark | None:
        """How far `source` was read; None before its first run, or if it was read by another column.

        Raises:
            PermanentError: the file is damaged.
        """
        file = self._file(view, source)
        if not file.exists():
            return None
        try:
            mark = Watermark.of(json.loads(file.read_text(encoding="utf-8")))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise PermanentError(
                f"the watermark {file} is damaged", fix="Delete it: all rows are read again"
            ) from error
        return mark if mark.column == column else None

    def advance(self, mark: Watermark) -> None:
        """Move forward to `mark`; a watermark never moves back."""
        before = self.read(mark.view, mark.source, mark.column)
        if before is None or not mark.older_than(before):
            write_atomically(self._file(mark.view, mark.source), json.dumps(mark.to_dict(), indent=1) + "\n")

    def know(self, database: str) -> bool:
        """Whether anything was ever published from a table of this database, by its public name."""
        marks = (json.loads(file.read_text(encoding="utf-8")) for file in self.root.glob("*/*.json"))
        return any(str(mark.get("source", "")).partition("#")[0] == database for mark in marks)

    def _file(self, view: str, source: str) -> Path:
        return self.root / view / f"{source_key(source)}.json"
