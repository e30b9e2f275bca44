"""Requests that are there at the same moment are answered together: one read, one scoring, however many they are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from model_serving.online.inference.data_plane import Choice, InferencePlane
from model_serving.online.inference.refusals import CODES, RETRY_AFTER, Refusal
from model_serving.online.inference.schemas import InferenceRequest
from model_serving.online.telemetry.rate_limited_log import RateLimitedLog
from twinserve.errors import TwinserveError

MAX_WAIT_SECONDS = 0.002  # seconds for which requests may wait for the batch before theirs
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request, where its answer is awaited, and the moment of the loop's clock at which that ends."""

    request: InferenceRequest
    future: asyncio.Future[Choice]
    due: float


class Batcher:
    """Gathers what one turn of the event loop brings, and what comes while the batch before is still under way.

    Where nothing is under way, nobody waits. Otherwise a batch begins with the end of the one before, or after
    `MAX_WAIT_SECONDS`: so batches grow with the load, and a slow one does not stand in the way.

    Args:
        most_rows: candidates of one batch, a single larger request apart; 0: each request for itself, at once.
        deadline: seconds after which a request is given up.
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
        self._faults = RateLimitedLog(logger)
        self._running: set[asyncio.Task[None]] = set()

    async def answer(self, request: InferenceRequest) -> Choice:
        """The choice for one request.

        Raises:
            Refusal: no candidate could be scored, the feature store does not answer, or a fault of ours.
        """
        loop = asyncio.get_running_loop()
        entry = Waiting(request, loop.create_future(), loop.time() + self._deadline)
        if self._begin is None:
            wait = self._running and self._most_rows
            self._begin = loop.call_later(MAX_WAIT_SECONDS, self._start) if wait else loop.call_soon(self._start)
        self._waiting.append(entry)
        return await entry.future

    async def close(self) -> None:
        """Wait for what is under way, then let go of the online store."""
        while self._running or self._begin is not None:
            await (asyncio.wait(self._running) if self._running else asyncio.sleep(0))
        await self.plane.close()

    def _start(self) -> None:
        self._begin = None
        waiting, self._waiting = self._waiting, []
        for batch in _split([entry for entry in waiting if not entry.future.done()], self._most_rows):
            task = asyncio.get_running_loop().create_task(self._run(batch))
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if self._begin is not None and not self._running:
            self._begin.cancel()
            self._start()

    async def _run(self, batch: Sequence[Waiting]) -> None:
        """Answer a batch; if that fails for a reason of ours, each request of it once more for itself."""
        try:
            self._note(len(batch))
            await self._answered(batch)
        except Exception as error:
            if len(batch) > 1:
                await asyncio.gather(*(self._alone(entry) for entry in batch))
            else:
                self._fault(error)
        finally:
            _give_up(batch)

    async def _alone(self, entry: Waiting) -> None:
        try:
            await self._answered([entry])
        except Exception as error:
            self._fault(error)

    def _fault(self, error: Exception) -> None:
        known = isinstance(error, TwinserveError)
        self._faults.say(logging.ERROR, "answering /inference failed: %s", error, trace=not known)

    async def _answered(self, batch: Sequence[Waiting]) -> None:
        """Give each request of a batch its choice, or its refusal."""
        outcomes: Sequence[Choice | Refusal]
        try:
            async with asyncio.timeout_at(batch[0].due):
                outcomes = await self.plane.answer([entry.request for entry in batch])
        except TimeoutError:
            message = f"the request could not be answered within {self._deadline:g} s"
            outcomes = [Refusal("deadline_exceeded", message, retry_after=RETRY_AFTER) for _ in batch]
        if len(outcomes) != len(batch):  # nobody may have what is another's
            raise RuntimeError(f"{len(outcomes)} answers to {len(batch)} requests")
        for entry, outcome in zip(batch, outcomes, strict=True):
            if entry.future.done():  # its caller has gone
                continue
            if isinstance(outcome, Refusal):
                outcome.request_id = entry.request.request_id
                entry.future.set_exception(outcome)
            else:
                entry.future.set_result(outcome)


def _give_up(batch: Sequence[Waiting]) -> None:
    """Nobody waits for what will not come."""
    for entry in batch:
        if not entry.future.done():
            refusal = Refusal("internal", CODES["internal"][1])
            refusal.request_id = entry.request.request_id
            entry.future.set_exception(refusal)


def _split(waiting: Sequence[Waiting], most_rows: int) -> list[list[Waiting]]:
    batches: list[list[Waiting]] = []
    rows = 0
    for entry in waiting:
        size = len(entry.request.ids)
        if not batches or rows + size > most_rows:
            batches.append([])
            rows = 0
        batches[-1].append(entry)
        rows += size
    return batches
