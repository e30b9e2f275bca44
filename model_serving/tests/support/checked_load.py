"""An open-loop load on `/inference` that looks at each answer: requests are due when they are due, answered or not."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
from right_answers import RightAnswers
from waiting import until

CONNECTIONS, RATE = 16, 80.0
WELL = ("200", "404 no_candidate")  # what is wrong with them is in `objection`
UNREAD = ("503 overloaded", "503 model_not_ready")  # refused before the body is looked at
TIMEOUT_SECONDS = 30.0  # seconds; the service answers or refuses long before


@dataclass(frozen=True)
class Sample:
    """What became of one request.

    Attributes:
        due, done: on the monotonic clock.
        outcome: `200`, the status and the code of a refusal, or the kind of a connection's failure.
        objection: what is wrong with the answer; empty where it is right.
        port: the client's, of the connection on which it was sent; None before it was connected.
        headers: of the answer.
    """

    due: float
    done: float
    outcome: str
    objection: str = ""
    port: int | None = None
    headers: httpx.Headers = field(default_factory=httpx.Headers)


class Load:
    """The samples of a load, while it goes on and afterwards."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []

    def since(self, moment: float) -> list[Sample]:
        """Those that were due after a moment of the monotonic clock."""
        return [sample for sample in self.samples if sample.due >= moment]

    def outcomes(self, moment: float = 0.0) -> Counter[str]:
        """How many there were of each."""
        return Counter(sample.outcome for sample in self.since(moment))

    @property
    def objections(self) -> list[str]:
        """Of the answers that were wrong."""
        return [sample.objection for sample in self.samples if sample.objection]

    def await_answers(self, count: int, seconds: float = 60.0) -> float:
        """Wait until the latest `count` requests that are due from now on are all answered, and not refused.

        Returns:
            After how many seconds the first of them was answered.
        """
        began = time.monotonic()

        def well() -> bool:
            last = sorted(self.since(began), key=lambda sample: sample.due)[-count:]
            return len(last) == count and all(sample.outcome in WELL for sample in last)

        until(f"{count} good answers in a row", well, seconds, also=lambda: self.outcomes(began))
        return min(sample.done for sample in self.since(began) if sample.outcome in WELL) - began


@contextmanager
def checked_load(
    url: str, ids: Sequence[int], right: RightAnswers, *, rate: float = RATE, connections: int = CONNECTIONS
) -> Iterator[Load]:
    """Requests for some of `ids`, so many a second, for the length of the block.

    Each connection is kept as long as the service keeps it, and has its own share of the rate.
    """
    load, over = Load(), threading.Event()

    async def call() -> None:
        await asyncio.gather(*(caller(number) for number in range(connections)))

    async def caller(number: int) -> None:
        chance, pace = random.Random(number), connections / rate
        due = time.monotonic() + pace * number / connections
        async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_SECONDS, trust_env=False) as client:
            port: int | None = None
            while not over.is_set():
                await asyncio.sleep(due - time.monotonic())
                asked = chance.sample(ids, chance.randint(1, min(6, len(ids))))
                load.samples.append(sample := await _ask(client, asked, right, due, port))
                port, due = sample.port, due + pace

    with ThreadPoolExecutor(1, "load") as beside:
        calling = beside.submit(asyncio.run, call())
        try:
            yield load
        finally:
            over.set()
            calling.result()  # a caller that has failed would leave a load that asks for nothing


async def _ask(
    client: httpx.AsyncClient, asked: list[int], right: RightAnswers, due: float, port: int | None
) -> Sample:
    name = f"r{due:.6f}"
    try:
        async with client.stream("POST", "/inference", json={"request_id": name, "driver_ids": asked}) as response:
            # now: the answer may be the connection's last
            port = response.extensions["network_stream"].get_extra_info("client_addr")[1]
            await response.aread()
    except httpx.HTTPError as error:
        return Sample(due, time.monotonic(), type(error).__name__, port=port)
    answer = response.json()
    objection = right.objection(asked, answer)
    outcome = f"{response.status_code} {answer['error']['code']}" if answer["error"] else str(response.status_code)
    if answer["request_id"] != (None if outcome in UNREAD else name):
        objection = f"the answer to another request: {answer['request_id']}"
    return Sample(due, time.monotonic(), outcome, objection, port, response.headers)
