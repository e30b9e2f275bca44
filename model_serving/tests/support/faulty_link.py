"""A TCP link between a service and its server that a test can slow down, cut, or break."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from contextlib import suppress

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of no seconds: RST instead of FIN


class FaultyLink:
    """Listens on a port of its own and passes everything on to another one of this machine.

    Its loop has a thread of its own; the methods are for the test's thread.
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._delay, self._broken = 0.0, False
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="faulty link", daemon=True)

    def start(self) -> None:
        """Listen."""
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._join, "127.0.0.1", 0), self._loop
        ).result()
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        """Close every connection and the port."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def heal(self) -> None:
        """Pass on at once whatever comes, and what was held back."""
        self._delay, self._broken = 0.0, False
        self._loop.call_soon_threadsafe(self._flowing.set)

    def delay(self, seconds: float) -> None:
        """Hold each reply for so long, as a long way would: several are under way at a time."""
        self._delay = seconds

    def drop(self) -> None:
        """Take what comes and pass nothing on, with no word to either side."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def reset(self) -> None:
        """Reset every connection, and each new one."""
        self._broken = True
        self._loop.call_soon_threadsafe(self._reset_all)

    def _reset_all(self) -> None:
        for writer in list(self._open):
            _reset(writer)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._broken:
            _reset(writer)
            return
        try:
            far: Streams = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            _reset(writer)  # nobody listens there
            return
        writers = {writer, far[1]}
        self._open |= writers
        try:
            await asyncio.gather(self._pump(reader, far[1], delayed=False), self._pump(far[0], writer, delayed=True))
        finally:
            self._open -= writers
            for end in writers:
                end.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, delayed: bool) -> None:
        way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        deliver = asyncio.create_task(self._deliver(way, writer))
        chunk = b"?"
        while chunk:
            try:
                chunk = await reader.read(65536)
            except OSError:
                chunk = b""
            await self._flowing.wait()
            way.put_nowait((self._loop.time() + (self._delay if delayed else 0), chunk))
        await deliver

    async def _deliver(self, way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        """In their order, whatever the delay has become meanwhile: bytes never overtake each other."""
        while True:
            due, chunk = await way.get()
            await asyncio.sleep(due - self._loop.time())
            if not chunk:
                writer.close()
                return
            if not writer.is_closing():
                writer.write(chunk)

    async def _end(self) -> None:
        self._server.close()
        self._flowing.set()
        self._reset_all()
        await asyncio.sleep(0.05)  # for the pumps to see it
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()


def _reset(writer: asyncio.StreamWriter) -> None:
    end = writer.get_extra_info("socket")
    with suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    writer.transport.abort()
