"""What a run changed in the offline store, over all its tries.

A try that is killed after it has replaced some days leaves the next one nothing to do there. Who waits for news of the
store must hear of those days all the same: they are noted before they are written.
"""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

from twinserve.atomic import write_atomically


class Changes:
    """One small file: day → rows that came new to it."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def note(self, day: date, rows: int) -> None:
        """`day` is about to be written; a day that was noted and not written is noted anew."""
        write_atomically(self._file, json.dumps(self._read() | {day.isoformat(): rows}, sort_keys=True) + "\n")

    def forget(self) -> None:
        """The run has told of them."""
        self._file.unlink(missing_ok=True)

    def counts(self) -> dict[str, int]:
        """Rows that came new, and days that were written."""
        days = self._read()
        return {"rows": sum(days.values()), "days": len(days)}

    def _read(self) -> dict[str, int]:
        if not self._file.exists():
            return {}
        found: dict[str, int] = json.loads(self._file.read_text(encoding="utf-8"))
        return found
