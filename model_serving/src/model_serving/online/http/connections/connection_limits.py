"""The connections of a worker: how many there may be, which have taken too long, and what they were told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from model_serving.online.http.connections.descriptors import connections_that_fit
from model_serving.online.inference.refusals import RETRY_AFTER, Refusal
from model_serving.online.telemetry.rate_limited_log import RateLimitedLog

logger = logging.getLogger(__name__)
GUESTS = 64  # connections beyond the bound that are held long enough to be told so, or how the service is
HEALTH = frozenset(("/livez", "/readyz", "/healthz", "/metrics"))
SWEEP_SECONDS = 1.0


@dataclass(frozen=True)
class Limits:
    """What connections may hold and take.

    Attributes:
        head_bytes: of one request: its first line and its headers.
        connections: of one worker; `GUESTS` more are told that there are too many.
        head_seconds: for a head to come, from its first byte, and for the first byte of a new connection.
        body_seconds: for a body to come, whoever reads it.
        unread_seconds: for a client to take anything of an answer.
    """

    head_bytes: int = 65_536
    connections: int = 2048
    head_seconds: float = 10.0
    body_seconds: float = 12.0  # above the time that `bodies` gives, which has an answer
    guest_seconds: float = 2.0
    unread_seconds: float = 30.0


class Held(Protocol):
    """What the register wants of a connection."""

    def look(self, now: float) -> None:
        """End what has taken too long."""

    def dismiss(self, refusal: Refusal) -> None:
        """Say no, and close at once."""


class Register:
    """The open connections of a worker.

    Args:
        note_refused: told the code of each refusal that no application has seen.
        note_closed: told why a connection was closed without a word.
    """

    def __init__(self, limits: Limits, note_refused: Callable[[str], None], note_closed: Callable[[str], None]) -> None:
        self.limits = limits
        self._note_refused, self._note_closed = note_refused, note_closed
        self._told = RateLimitedLog(logger)
        self.open: set[Held] = set()
        self.guests: dict[Held, None] = {}  # in the order in which they came

    def fit_open_files(self) -> None:
        """Allow no more connections than this process may have open files."""
        self.limits = replace(self.limits, connections=connections_that_fit(self.limits.connections, GUESTS))

    def admit(self, connection: Held) -> bool:
        """Take a new connection in; whether as a guest, who is there only to be told that there are too many."""
        self.open.add(connection)
        if len(self.open) - len(self.guests) <= self.limits.connections:
            return False
        if len(self.guests) >= GUESTS:
            longest = next(iter(self.guests))
            del self.guests[longest]
            longest.dismiss(self.too_many())
        self.guests[connection] = None
        return True

    def leave(self, connection: Held) -> None:
        """It has ended."""
        self.open.discard(connection)
        self.guests.pop(connection, None)

    def too_many(self) -> Refusal:
        """What guests are told."""
        most = self.limits.connections
        return Refusal("too_many_connections", f"{most} connections are open already", retry_after=RETRY_AFTER)

    def note_refused(self, refusal: Refusal, client: str) -> None:
        """Count and log a refusal."""
        self._note_refused(refusal.code)
        message = f"refused with {refusal.code}, {client.replace('%', '%%')}: %s"
        self._told.say(logging.WARNING, message, refusal, kind=refusal.code)

    def note_closed(self, why: str) -> None:
        """Count a connection that was closed without an answer."""
        self._note_closed(why)

    async def look_after(self) -> None:
        """End what takes too long, for ever: one look at all of them costs less than a timer for each request."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = loop.time()
            for connection in list(self.open):
                try:
                    connection.look(now)
                except Exception as error:  # of one connection; the others are looked after all the same
                    self._told.say(logging.ERROR, "looking after a connection failed: %s", error, trace=True)
