"""A check: what was looked at, what was found, what is allowed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from training_pipeline.limits import Level
from twinserve.errors import PermanentError

MOST_NAMED = 20


@dataclass(frozen=True)
class Check:
    """One verdict. `says` is a clause with the numbers: `10 usable rows, at least 500 needed`.

    Attributes:
        passed: whether the limit was kept.
        on_failure: what it means if it was not.
        column: the column that it is about, if it is about one.
    """

    name: str
    passed: bool
    says: str
    on_failure: Level = "fail"
    column: str | None = None

    @property
    def status(self) -> Literal["ok", "warn", "fail"]:
        """What came of it; `fail` refuses what was checked."""
        return "ok" if self.passed else self.on_failure


def at_least(name: str, found: float, limit: float, what: str, on_failure: Level = "fail") -> Check:
    """Passes from `limit` on."""
    return Check(name, found >= limit, f"{what} {number(found)}, at least {number(limit)} needed", on_failure)


def at_most(
    name: str, found: float, limit: float, what: str, on_failure: Level = "fail", column: str | None = None
) -> Check:
    """Passes up to `limit`."""
    return Check(name, found <= limit, f"{what} {number(found)}, at most {number(limit)} allowed", on_failure, column)


def as_dicts(checks: Sequence[Check]) -> list[dict[str, Any]]:
    """For a JSON file."""
    return [{**asdict(check), "status": check.status} for check in checks]


def warnings_of(checks: Sequence[Check]) -> list[str]:
    """What failed and is only told, each with its numbers."""
    return [f"{check.says} ({check.name})" for check in checks if check.status == "warn"]


def refuse_failed(checks: Sequence[Check], what: str, fix: str) -> None:
    """Let everything pass, or refuse `what`.

    Raises:
        PermanentError: names the checks that failed, the first `MOST_NAMED` of them with their numbers.
    """
    failed = [f"{check.says} ({check.name})" for check in checks if check.status == "fail"]
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
