"""A few shared connections to one Redis, each with many reads in flight.

A read is a request of several commands and the list of their replies. Replies come in the order of the requests, so
a connection keeps a queue of what is awaited. Whoever stops waiting leaves its place in the queue; a connection whose
reply is overdue is closed, so that no late reply is ever taken for another's.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from typing import Any

import hiredis

from twinserve.errors import TransientError
from twinserve.features.online_store.read_plan import HashPlan
from twinserve.features.redis.address import RedisAddress
from twinserve.features.redis.errors import read_refused

QUEUED = 1024  # reads in flight on one connection, or waiting for one; more are refused
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0  # seconds between attempts to connect
WORTH_WAITING = 0.1  # seconds of a pause for which a read waits; in a longer one it fails at once
_MORE: Any = object()


class Lost(Exception):
    """The connection ended before the reply was complete."""


class Overdue(Exception):
    """No complete reply within the time of the read."""


class Ask:
    """A request under way: `future` gives its replies, `refused` says whether one of them is an error."""

    __slots__ = ("count", "deadline", "future", "refused", "replies")

    def __init__(self, future: asyncio.Future[list[Any]], count: int, deadline: float) -> None:
        self.future, self.count, self.deadline = future, count, deadline
        self.replies: list[Any] = []
        self.refused = False


class Wire(asyncio.Protocol):
    """One connection: requests go out at once, replies come back in their order.

    Args:
        ended: told once the connection has ended, whoever ended it, and why; perhaps more than once. What was awaited
            still stands in `waiting` then.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, ended: Callable[[Wire, str], None]) -> None:
        self._loop, self._ended = loop, ended
        self._transport: Any = None
        self._reader = hiredis.Reader(notEnoughData=_MORE, replyError=self._error)
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._refused = False
        self.waiting: deque[Ask] = deque()
        self.open = False
        self.since = 0.0
        self.answered = 0

    def ask(self, request: bytes, count: int, deadline: float) -> Ask:
        """Send a request that has `count` replies; its future fails with `Lost` or `Overdue`."""
        ask = Ask(self._loop.create_future(), count, deadline)
        self.waiting.append(ask)
        if self._timer is None or deadline < self._due:
            self._watch(deadline)
        self._transport.write(request)
        return ask

    def close(self, why: str = "closed") -> None:
        """End the connection now; whoever waits is told `Lost`."""
        self.open = False
        if self._transport is not None:
            self._transport.abort()
        self._end(Lost(why))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of asyncio: connected."""
        self._transport, self.open, self.since = transport, True, self._loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        """Of asyncio: the connection is gone."""
        self._end(Lost(str(exc) if exc else "closed by the server"))

    def data_received(self, data: bytes) -> None:
        """Of asyncio: some bytes have come."""
        if not self.open:
            return
        self._reader.feed(data)
        try:
            self._take_replies()
        except hiredis.HiredisError:
            self.close()

    def _take_replies(self) -> None:
        gets, waiting = self._reader.gets, self.waiting
        while waiting:
            ask = waiting[0]
            append = ask.replies.append
            for _ in range(ask.count - len(ask.replies)):
                reply = gets()
                if reply is _MORE:
                    return
                append(reply)
            waiting.popleft()
            self._answer(ask)
        if gets() is not _MORE:
            self.close()  # nobody has asked for that: nothing on this connection can be trusted

    def _answer(self, ask: Ask) -> None:
        self.answered += 1
        ask.refused, self._refused = self._refused, False
        if not ask.future.done():
            ask.future.set_result(ask.replies)

    def _error(self, text: str) -> Exception:
        self._refused = True
        return hiredis.ReplyError(text)

    def _watch(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due, self._timer = deadline, self._loop.call_at(deadline, self._look)

    def _look(self) -> None:
        """Close the connection if a reply is overdue; look again when the next one would be."""
        self._timer = None
        if not self.waiting:
            return
        now, first = self._loop.time(), min(ask.deadline for ask in self.waiting)
        if first > now:
            self._watch(first)
            return
        for ask in self.waiting:
            if ask.deadline <= now and not ask.future.done():
                ask.future.set_exception(Overdue())
        self.close("no answer in time")

    def _end(self, why: Lost) -> None:
        self.open = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._ended(self, str(why))
        while self.waiting:
            future = self.waiting.popleft().future
            if not future.done():
                future.set_exception(why)


class RedisLink:
    """One Redis server over `connections` shared connections, opened when they are needed.

    Args:
        seconds: how long connecting may take.
    """

    def __init__(self, address: RedisAddress, *, connections: int, seconds: float) -> None:
        self._address, self._most, self._seconds = address, connections, seconds
        self._wires: list[Wire] = []  # the open ones
        self._connecting: asyncio.Task[None] | None = None
        self._waiters = 0
        self._closed = False
        self._pause, self._not_before = 0.0, 0.0
        self._why = "not connected yet"

    async def fetch(self, wanted: list[tuple[HashPlan, Any]], deadline: float) -> list[Any]:
        """As `twinserve.features.online_store.redis_reader.HashSource.fetch`."""
        request = b"".join([plan.request(keys) for plan, keys in wanted])
        ask = await self.ask(request, sum(len(keys) for _, keys in wanted), deadline)
        if ask.refused:
            titles = [plan.title for plan, keys in wanted for _ in keys]
            said = zip(ask.replies, titles, strict=True)
            raise read_refused([each for each in said if isinstance(each[0], hiredis.ReplyError)])
        return ask.replies

    async def ask(self, request: bytes, count: int, deadline: float) -> Ask:
        """The answer to a request of `count` commands; on a broken connection it is sent once more on another.

        Args:
            deadline: of the event loop's clock, for all attempts together.

        Raises:
            TransientError: no answer in time, or the queue is full.
        """
        try:
            return await self._asked(request, count, deadline)
        except Lost:
            pass
        try:
            return await self._asked(request, count, deadline)
        except Lost as lost:
            raise self._failure(f"the connection broke: {lost}") from None

    async def close(self) -> None:
        """Close every connection; reads after that are refused."""
        self._closed = True
        task, self._connecting = self._connecting, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        wires, self._wires = self._wires, []
        for wire in wires:
            wire.close()

    async def _asked(self, request: bytes, count: int, deadline: float) -> Ask:
        wire = self._idlest() or await self._connected(deadline)
        if len(wire.waiting) >= QUEUED:
            raise self._failure(f"{QUEUED} reads wait for it")
        ask = wire.ask(request, count, deadline)
        try:
            await ask.future
        except Overdue:
            raise self._failure("no answer in time") from None
        return ask

    def _idlest(self) -> Wire | None:
        """The open connection with the fewest reads in flight; where all are busy, one more is opened meanwhile."""
        best: Wire | None = None
        for wire in self._wires:
            if best is None or len(wire.waiting) < len(best.waiting):
                best = wire
        if best is not None and best.waiting and len(self._wires) < self._most:
            self._connect_soon(asyncio.get_running_loop())
        return best

    async def _connected(self, deadline: float) -> Wire:
        """A connection, newly opened; where the attempt that others began fails, one more is made."""
        loop = asyncio.get_running_loop()
        for _ in range(1 if self._connecting is None else 2):
            await self._attempt(loop, deadline)
            if self._wires:
                return self._wires[0]
        raise self._failure(self._why if self._connecting is None else "no connection in time")

    async def _attempt(self, loop: asyncio.AbstractEventLoop, deadline: float) -> None:
        if self._waiters >= QUEUED:
            raise self._failure(f"{QUEUED} reads wait for a connection")
        task = self._connect_soon(loop)
        if task is None:
            raise self._failure(self._why)
        self._waiters += 1
        try:
            await asyncio.wait({task}, timeout=deadline - loop.time())
        finally:
            self._waiters -= 1

    def _connect_soon(self, loop: asyncio.AbstractEventLoop) -> asyncio.Task[None] | None:
        """The attempt that is under way, or a new one; None in a long pause after failures, or when closed."""
        if self._connecting is None:
            pause = self._not_before - loop.time()
            if self._closed or pause > WORTH_WAITING:
                return None
            self._connecting = loop.create_task(self._connect(loop, pause))
        return self._connecting

    async def _connect(self, loop: asyncio.AbstractEventLoop, pause: float) -> None:
        wire = Wire(loop, self._drop)
        try:
            if pause > 0:
                await asyncio.sleep(pause)
            async with asyncio.timeout(self._seconds):
                await self._address.connect(loop, wire)
                await self._introduce(wire, loop.time() + self._seconds)
        except Exception as error:  # of whatever kind, the next attempt waits, and reads are told
            wire.close()
            self._back_off(f"{type(error).__name__}: {error}".rstrip(": "))
        except BaseException:
            wire.close()
            raise
        else:
            self._wires.append(wire)
        finally:
            self._connecting = None

    async def _introduce(self, wire: Wire, deadline: float) -> None:
        greetings = self._address.greetings()
        ask = wire.ask(b"".join(greetings), len(greetings), deadline)
        replies = await ask.future
        for reply in replies[:-1]:  # the last one only tells our name, which not every user may
            if isinstance(reply, hiredis.ReplyError):
                raise reply
        if not wire.open:
            raise Lost("closed")
        wire.answered = 0

    def _drop(self, wire: Wire, why: str) -> None:
        """A connection has ended, whether or not anybody waits for it."""
        if wire not in self._wires:
            return
        self._wires.remove(wire)
        self._why = why
        unneeded = not wire.waiting and asyncio.get_running_loop().time() - wire.since > LONGEST_PAUSE
        if wire.answered or unneeded:
            self._pause = 0.0
        else:
            self._back_off(why)  # it took our connection and gave nothing

    def _back_off(self, why: str) -> None:
        self._why = why
        self._pause = min(LONGEST_PAUSE, max(FIRST_PAUSE, 2 * self._pause))
        self._not_before = asyncio.get_running_loop().time() + self._pause * random.uniform(0.5, 1.0)  # noqa: S311

    def _failure(self, why: str) -> TransientError:
        return TransientError(f"Redis at {self._address} does not answer: {why}", fix="Try again")
