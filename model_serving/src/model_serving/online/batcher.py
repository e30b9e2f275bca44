"""Requests that are there at the same moment are answered together: one read, one scoring, however many they are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from model_serving.online.plane import RETRY_AFTER, Choice, InferencePlane
from model_serving.online.refusal import CODES, Refusal
from model_serving.online.seldom import Seldom
from model_serving.online.wire import InferenceRequest
from twinserve.errors import TwinserveError

PATIENCE = 0.002  # seconds for which requests may wait for the batch before theirs
logger = logging.getLogger(__name__)
Waiting = tuple[InferenceRequest, "asyncio.Future[Choice]"]


class Batcher:
    """Gathers what one turn of the event loop brings, and what comes while the batch before is still under way.

    Where nothing is under way, nobody waits. Otherwise a batch begins with the end of the one before, or after
    `PATIENCE`: so batches grow with the load, and a slow one does not stand in the way.

    Args:
        most_rows: candidates of one batch, a single larger request apart; 0: each request for itself.
        deadline: seconds after which a batch is given up.
        note: told how many requests a batch has.
    """

    def __init__(
        self,
        plane: InferencePlane,
        most_rows: int,
        deadline: float,
        note: Callable[[int], None],
    ) -> None:
        self.plane, self._most_rows, self._deadline, self._note = plane, most_rows, deadline, note
        self._waiting: list[Waiting] = []
        self._begin: asyncio.Handle | None = None
        self._faults = Seldom(logger)
        self._running: set[asyncio.Task[None]] = set()

    async def answer(self, request: InferenceRequest) -> Choice:
        """The choice for one request.

        Raises:
            Refusal: no candidate could be scored, the feature store does not answer, or a fault of ours.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Choice] = loop.create_future()
        if self._begin is None:
            self._begin = loop.call_later(PATIENCE, self._start) if self._running else loop.call_soon(self._start)
        self._waiting.append((request, future))
        return await future

    async def close(self) -> None:
        """Wait for what is under way, then let go of the online store."""
        while self._running or self._begin is not None:
            await (asyncio.wait(self._running) if self._running else asyncio.sleep(0))
        await self.plane.close()

    def _start(self) -> None:
        self._begin = None
        waiting, self._waiting = self._waiting, []
        for batch in _split([entry for entry in waiting if not entry[1].done()], self._most_rows):
            task = asyncio.get_running_loop().create_task(self._run(batch))
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if self._begin is not None and not self._running:
            self._begin.cancel()
            self._start()

    async def _run(self, batch: Sequence[Waiting]) -> None:
        self._note(len(batch))
        try:
            async with asyncio.timeout(self._deadline):
                outcomes: Sequence[Choice | Refusal] = await self.plane.answer([request for request, _ in batch])
        except TimeoutError:
            message = f"the request could not be answered within {self._deadline:g} s"
            outcomes = [Refusal("deadline_exceeded", message, retry_after=RETRY_AFTER) for _ in batch]
        except Exception as error:
            if len(batch) > 1:  # a fault with one request is not the others' concern
                await asyncio.gather(*(self._run([entry]) for entry in batch))
                return
            known = isinstance(error, TwinserveError)
            self._faults.say(logging.ERROR, "answering /inference failed: %s", error, trace=not known)
            outcomes = [Refusal("internal", CODES["internal"][1])]
        for (request, future), outcome in zip(batch, outcomes, strict=True):
            if future.done():  # its caller has gone
                continue
            if isinstance(outcome, Refusal):
                outcome.request_id = request.request_id
                future.set_exception(outcome)
            else:
                future.set_result(outcome)


def _split(waiting: Sequence[Waiting], most_rows: int) -> list[list[Waiting]]:
    batches: list[list[Waiting]] = []
    rows = 0
    for entry in waiting:
        size = len(entry[0].ids)
        if not batches or rows + size > most_rows:
            batches.append([])
            rows = 0
        batches[-1].append(entry)
        rows += size
    return batches
