"""Callers of `/inference` who never stop, and what became of their requests."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

KEPT, FRESH = 4, 2
PAUSE_SECONDS = 0.05


@dataclass
class Tally:
    """What callers saw: answers by status, or the kind of a connection's failure; and the slowest, in seconds."""

    outcomes: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0

    @property
    def answered(self) -> int:
        """Requests with a prediction."""
        return self.outcomes["200"]

    @property
    def failed(self) -> dict[str, int]:
        """All others."""
        return {outcome: count for outcome, count in self.outcomes.items() if outcome != "200"}


@contextmanager
def steady_load(url: str, body: dict[str, Any]) -> Iterator[Tally]:
    """Callers for the length of the block: some keep their connection, some open one for each request."""
    tally, over = Tally(), threading.Event()
    callers = threading.Thread(target=lambda: asyncio.run(_call(url, body, tally, over)))
    callers.start()
    try:
        yield tally
    finally:
        over.set()
        callers.join()


async def _call(url: str, body: dict[str, Any], tally: Tally, over: threading.Event) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as kept:
        await asyncio.gather(
            *(_keeping(kept, body, tally, over) for _ in range(KEPT)),
            *(_opening(url, body, tally, over) for _ in range(FRESH)),
        )


async def _keeping(client: httpx.AsyncClient, body: dict[str, Any], tally: Tally, over: threading.Event) -> None:
    while not over.is_set():
        await _ask(client, body, tally)
        await asyncio.sleep(PAUSE_SECONDS)


async def _opening(url: str, body: dict[str, Any], tally: Tally, over: threading.Event) -> None:
    while not over.is_set():
        async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as fresh:
            await _ask(fresh, body, tally)
        await asyncio.sleep(PAUSE_SECONDS)


async def _ask(client: httpx.AsyncClient, body: dict[str, Any], tally: Tally) -> None:
    began = time.monotonic()
    try:
        outcome = str((await client.post("/inference", json=body)).status_code)
    except httpx.HTTPError as error:
        outcome = type(error).__name__
    tally.outcomes[outcome] += 1
    tally.slowest = max(tally.slowest, time.monotonic() - began)
