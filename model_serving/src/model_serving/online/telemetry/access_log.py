"""The access log: a sample of the answers, and refusals that are our fault."""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from collections.abc import Iterable

from starlette.types import Scope

OURS = 500  # statuses from here on are our fault
logger = logging.getLogger(__name__)


class AccessLog:
    """One line for each answer that is chosen.

    Args:
        rate: share of the answers that get a line, 0 to 1.
        faults_per_second: how many refusals of ours get a line within a second, whatever the rate: in an outage every
            request is one.
    """

    def __init__(self, rate: float, faults_per_second: int = 10) -> None:
        self._rate, self._faults_per_second = rate, faults_per_second
        self._second, self._faults = 0, 0
        self._random = random.Random().random  # noqa: S311 - which lines to write is no secret

    def __call__(
        self,
        scope: Scope,
        status: int,
        outcome: str,
        seconds: float,
        left_out: Iterable[str] = (),
        passed: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Note one answer; `left_out` and `passed` as `InferenceMetrics.count` takes them."""
        if self._random() < self._rate or (status >= OURS and self._may_tell()):
            facts = _facts(scope, status, outcome, seconds) | _missing(left_out, passed)
            logger.info("answered", extra={"answer": facts})

    def _may_tell(self) -> bool:
        now = int(time.monotonic())
        if now != self._second:
            self._second, self._faults = now, 0
        self._faults += 1
        return self._faults <= self._faults_per_second


def _facts(scope: Scope, status: int, outcome: str, seconds: float) -> dict[str, object]:
    client = scope.get("client")
    return {
        "method": scope["method"],
        "path": scope["path"],
        "status": status,
        "outcome": outcome,
        "milliseconds": round(1e3 * seconds, 3),
        "client": client[0] if client else None,
        "request": _header(scope, b"x-request-id"),
    }


def _missing(left_out: Iterable[str], passed: Iterable[tuple[str, str]]) -> dict[str, object]:
    """How many candidates lacked what; nothing where none did."""
    facts: dict[str, object] = {"left_out": dict(Counter(left_out))} if left_out else {}
    views: dict[str, dict[str, int]] = {}
    for (view, reason), count in Counter(passed).items():
        views.setdefault(view, {})[reason] = count
    return facts | ({"passed_as_nan": views} if views else {})


def _header(scope: Scope, wanted: bytes) -> str | None:
    return next((value.decode("latin-1")[:200] for name, value in scope["headers"] if name == wanted), None)
