"""A check: what was looked at, what was found, what is allowed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from twinserve.errors import PermanentError

MOST_NAMED = 20


@dataclass(frozen=True)
class Check:
    """One verdict. `says` is a clause with the numbers: `10 usable rows, at least 500 needed`."""

    name: str
    passed: bool
    says: str


def at_least(name: str, found: float, limit: float, what: str) -> Check:
    """Passes from `limit` on."""
    return Check(name, found >= limit, f"{what} {number(found)}, at least {number(limit)} needed")


def at_most(name: str, found: float, limit: float, what: str) -> Check:
    """Passes up to `limit`."""
    return Check(name, found <= limit, f"{what} {number(found)}, at most {number(limit)} allowed")


def as_dicts(checks: Sequence[Check]) -> list[dict[str, Any]]:
    """For a JSON file."""
    return [asdict(check) for check in checks]


def refuse_failed(checks: Sequence[Check], what: str, fix: str) -> None:
    """Let everything pass, or refuse `what`.

    Raises:
        PermanentError: names every check that failed, with its numbers.
    """
    failed = [f"{check.says} ({check.name})" for check in checks if not check.passed]
    if failed:
        more = f"; and {len(failed) - MOST_NAMED:,} more checks" if len(failed) > MOST_NAMED else ""
        raise PermanentError(f"{what} refused: {'; '.join(failed[:MOST_NAMED])}{more}", fix=fix)


def named(names: Sequence[str], most: int = MOST_NAMED) -> str:
    """The first of these names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def number(value: float) -> str:
    """Whole numbers as such, others with four significant digits."""
    return str(int(value)) if float(value).is_integer() else f"{value:.4g}"
