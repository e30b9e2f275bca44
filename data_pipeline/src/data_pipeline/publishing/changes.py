"""What a run changed in the offline store, over all its tries.

A try that is killed after it has replaced some days leaves the next one nothing to do there. Who waits for news of the
store must hear of those days all the same: they are noted before they are written.
"""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import NamedTuple

from twinserve.files.atomic import write_atomically


class Changed(NamedTuple):
    """What was written to one day."""

    new: int = 0
    replaced: int = 0
    deleted: int = 0


class Changes:
    """One small file: day → rows that came new to it, and rows that took the place of others."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def note(self, day: date, new: int, replaced: int) -> None:
        """`day` is about to be written; a day that was noted and not written is noted anew."""
        self._write(day, Changed(new, replaced, self.of(day).deleted))

    def note_deleted(self, day: date, rows: int) -> None:
        """Rows of `day` are about to be deleted, as the source no longer has them."""
        self._write(day, self.of(day)._replace(deleted=rows))

    def forget(self) -> None:
        """The run has told of them."""
        self._file.unlink(missing_ok=True)

    def of(self, day: date) -> Changed:
        """What was noted of a day."""
        return self._read().get(day.isoformat(), Changed())

    def counts(self) -> dict[str, int]:
        """Rows that came new, took the place of others or were deleted, and days that were written."""
        days = self._read()
        return {"rows": sum(map(sum, days.values())), "days": len(days)}

    def deleted(self) -> int:
        """Rows that were deleted."""
        return sum(changed.deleted for changed in self._read().values())

    def _write(self, day: date, changed: Changed) -> None:
        held = self._read() | {day.isoformat(): changed}
        write_atomically(self._file, json.dumps(held, sort_keys=True) + "\n")

    def _read(self) -> dict[str, Changed]:
        if not self._file.exists():
            return {}
        found: dict[str, list[int] | int] = json.loads(self._file.read_text(encoding="utf-8"))
        # the version before this one noted the new rows alone
        return {day: Changed(rows) if isinstance(rows, int) else Changed(*rows) for day, rows in found.items()}
