"""A TCP proxy in the test's event loop that delays, withholds or cuts what passes through it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress


class WireProxy:
    """Passes bytes on to `port` on this machine.

    Attributes:
        delay: seconds that each piece of an answer waits; called for every piece.
        silent: nothing passes any more, in either direction.
        accepted: connections taken so far.
        live: connections open now.
    """

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self._target, self._tls = port, tls
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.delay: Callable[[], float] = lambda: 0.0
        self.silent = False
        self.accepted = self.live = 0

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> WireProxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.sleep(0.05)

    def cut(self) -> None:
        """Break every connection."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self.live += 1
        self._writers.add(writer)
        try:
            with suppress(OSError):
                await self._both(reader, writer)
        finally:
            self.live -= 1
            self._writers.discard(writer)
            writer.transport.abort()

    async def _both(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward, forward = await asyncio.open_connection("127.0.0.1", self._target)
        there = asyncio.create_task(self._pass(reader, forward, lambda: 0.0))
        back = asyncio.create_task(self._pass(onward, writer, self._delay))
        try:
            await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            there.cancel()
            back.cancel()
            await asyncio.wait({there, back})
            forward.transport.abort()

    def _delay(self) -> float:
        return self.delay()  # as it is by then

    async def _pass(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, delay: Callable[[], float]
    ) -> None:
        with suppress(OSError):
            while data := await source.read(1 << 16):
                await asyncio.sleep(delay())
                if not self.silent:
                    target.write(data)
                    await target.drain()
