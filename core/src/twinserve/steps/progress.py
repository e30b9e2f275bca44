"""Progress of long work: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress

logger = logging.getLogger(__name__)


class RowProgress:
    """Counts rows, shows rate and time left.

    Args:
        what: the work, in a word or two.
        total: rows to expect; None where that is not known.
        every: seconds between two lines in a log.
    """

    def __init__(self, what: str, total: int | None, every: float = 10.0) -> None:
        self.what, self.total, self.every = what, total, every
        self.rows = 0
        self._began = self._told = time.monotonic()
        self._bar = _bar() if sys.stderr.isatty() else None

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
            self._task = self._bar.add_task(self.what, total=self.total, rate="")
        return self

    def advance(self, rows: int) -> None:
        """Add `rows` to the count."""
        self.rows += rows
        if self._bar:
            self._bar.update(self._task, advance=rows, rate=f"{self.rate:,.0f} rows/s")
        elif time.monotonic() - self._told >= self.every:
            self._told = time.monotonic()
            logger.info(self._line())

    @property
    def rate(self) -> float:
        """Rows per second since the start."""
        return self.rows / max(time.monotonic() - self._began, 1e-9)

    def _line(self) -> str:
        if not self.total:
            return f"{self.what}: {self.rows:,} rows, {self.rate:,.0f} rows/s"
        left = max(self.total - self.rows, 0) / max(self.rate, 1e-9)
        return f"{self.what}: {self.rows:,} of {self.total:,} rows, {self.rate:,.0f} rows/s, {left:.0f} s left"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()
        if error is None:
            logger.info("%s: %s rows in %.1f s", self.what, f"{self.rows:,}", time.monotonic() - self._began)


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,.0f} rows"))
    return Progress(*columns, TextColumn("{task.fields[rate]}"), TimeRemainingColumn(), console=Console(stderr=True))
