"""Times on a command line."""

from __future__ import annotations

from datetime import UTC, datetime

from twinserve.errors import BadInput


def iso_time(option: str, text: str) -> datetime:
    """Read an ISO 8601 time, UTC where it names no zone; gives it in UTC.

    Raises:
        BadInput: it is no time; names the option.
    """
    try:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadInput(f"{option} {text[:40]!r} is no time", fix="Give ISO 8601, as 2026-01-31T00:00:00Z") from None
