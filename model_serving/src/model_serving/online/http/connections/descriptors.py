"""How many connections this process can have: each is an open file."""

from __future__ import annotations

import logging
import resource

logger = logging.getLogger(__name__)
OTHERS = 128  # open files that are no connections: libraries, logs, metrics, Redis
FEWEST = 16


def raise_limit() -> int:
    """Let this process have as many open files as the system allows it, and say how many that is.

    A process starts with the soft limit, mostly 1024, so that programs that use `select` go on working; it may raise
    that to the hard one.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError) as error:  # a hard limit above what the kernel takes by now
            logger.warning("the limit of open files stays at %d: %s", soft, error)
            return soft
    return hard


def connections_that_fit(wanted: int, guests: int) -> int:
    """`wanted` connections, or fewer where the limit of open files leaves no room for them and `guests` more."""
    limit = raise_limit()
    if limit == resource.RLIM_INFINITY:
        return wanted
    fit = max(FEWEST, limit - OTHERS - guests)
    if fit < wanted:
        logger.warning(
            "at most %d connections, not %d: this process may have %d open files (ulimit -n)", fit, wanted, limit
        )
    return min(wanted, fit)
