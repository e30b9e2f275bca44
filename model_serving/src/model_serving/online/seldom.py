"""Log lines of what befalls every request alike."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

QUIET_SECONDS = 10.0


class Seldom:
    """Says what goes wrong once in a while, however many requests it goes wrong with.

    Args:
        clock: seconds.
    """

    def __init__(self, logger: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger, self._clock = logger, clock
        self._quiet_until = 0.0

    def say(self, level: int, message: str, error: BaseException, *, trace: bool = False) -> None:
        """Log the message with what the error says in place of its `%s`, unless something was said a moment ago."""
        now = self._clock()
        if now >= self._quiet_until:
            self._quiet_until = now + QUIET_SECONDS
            self._logger.log(level, message, str(error) or type(error).__name__, exc_info=error if trace else None)
