"""What a run changed in the offline store, over all its tries.

A try that is killed after it has replaced some days leaves the next one nothing to do there. Who waits for news of the
store must hear of those days all the same: they are noted before they are written.
"""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import NamedTuple

from twinserve.atomic import write_atomically


class Changed(NamedTuple):
    """What was written to one day."""

    new: int = 0
    replaced: int = 0


class Changes:
    """One small file: day → rows that came new to it, and rows that took the place of others."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def note(self, day: date, new: int, replaced: int) -> None:
        """`day` is about to be written; a day that was noted and not written is noted anew."""
        held = self._read() | {day.isoformat(): Changed(new, replaced)}
        write_atomically(self._file, json.dumps(held, sort_keys=True) + "\n")

    def forget(self) -> None:
        """The run has told of them."""
        self._file.unlink(missing_ok=True)

    def of(self, day: date) -> Changed:
        """What was noted of a day."""
        return self._read().get(day.isoformat(), Changed())

    def counts(self) -> dict[str, int]:
        """Rows that came new or took the place of others, and days that were written."""
        days = self._read()
        return {"rows": sum(map(sum, days.values())), "days": len(days)}

    def _read(self) -> dict[str, Changed]:
        if not self._file.exists():
            return {}
        found: dict[str, list[int] | int] = json.loads(self._file.read_text(encoding="utf-8"))
        # the version before this one noted the new rows alone
        return {day: Changed(rows) if isinstance(rows, int) else Changed(*rows) for day, rows in found.items()}
