"""The stretch of arrival times that is read again when rows of the past are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from twinserve.errors import BadInput
from twinserve.values.iso_time import iso_time


@dataclass(frozen=True)
class Interval:
    """From `since`, which belongs to it, to `until`, which does not; both aware."""

    since: datetime
    until: datetime

    @classmethod
    def of(cls, since: str | None, until: str | None) -> Self | None:
        """Read two ISO 8601 times, UTC where they name no zone; None if neither is given.

        Raises:
            BadInput: one is missing or no time, or the end is not after the start.
        """
        if not since and not until:
            return None
        if not since or not until:
            raise BadInput("--since and --until go together", fix="Give both, or neither")
        found = cls(iso_time("--since", since), iso_time("--until", until))
        if found.until <= found.since:
            raise BadInput(f"--until {until} is not after --since {since}", fix="Exchange them")
        return found
