"""Log lines of what befalls every request alike."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

QUIET_SECONDS = 10.0
Kind = type[BaseException] | str
MOST_KINDS = 100  # of errors that are told apart; the rest share a line


@dataclass
class _Silence:
    """Of one kind of error: until when, and how many it has swallowed."""

    until: float = float("-inf")
    swallowed: int = 0


class RateLimitedLog:
    """Says what goes wrong once in a while, however many requests it goes wrong with; each kind of error by itself,
    so that a frequent one doesn't hide a rare one.

    Args:
        clock: seconds.
    """

    def __init__(self, logger: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger, self._clock = logger, clock
        self._silences: dict[Kind, _Silence] = {}

    def say(self, level: int, message: str, error: BaseException, *, trace: bool = False, kind: str = "") -> None:
        """Log the message with what the error says in place of its `%s`, unless one of its kind, by default of its
        class, was told a moment ago; with it, how many were not told since the last one.
        """
        now, silence = self._clock(), self._silence(kind or type(error))
        if now < silence.until:
            silence.swallowed += 1
            return
        before = f" ({silence.swallowed} more like it since the last line)" if silence.swallowed else ""
        silence.until, silence.swallowed = now + QUIET_SECONDS, 0
        text = (str(error) or type(error).__name__) + before
        self._logger.log(level, message, text, exc_info=error if trace else None)

    def _silence(self, kind: Kind) -> _Silence:
        if kind not in self._silences and len(self._silences) >= MOST_KINDS:
            kind = BaseException
        return self._silences.setdefault(kind, _Silence())
