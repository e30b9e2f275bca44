"""One side of a call: HTTP/1.1 over a stream, with h11 for the protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from http import HTTPStatus

import h11

from docker_gate.refusal import Refusal

LARGEST_HEAD = 16 << 10
PIECE = 16 << 10
# a reader that takes nothing for so long is cut off
SLOWEST_WRITE_SECONDS = 60.0
Role = type[h11.CLIENT] | type[h11.SERVER]


class Peer:
    """The caller or the engine.

    Args:
        reader: of the connection.
        writer: of it.
        role: ours: `h11.SERVER` towards the caller, `h11.CLIENT` towards the engine.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, role: Role) -> None:
        self._reader, self._writer = reader, writer
        self.http = h11.Connection(role, max_incomplete_event_size=LARGEST_HEAD)

    async def event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """What the other side says next.

        Raises:
            h11.RemoteProtocolError: it does not keep to the protocol, or its head is too large.
        """
        while (event := self.http.next_event()) is h11.NEED_DATA:
            self.http.receive_data(await self._reader.read(PIECE))
        return event

    async def send(self, event: h11.Event) -> None:
        """Say something; waits while the other side takes nothing."""
        await self.send_bytes(self.http.send(event) or b"")

    async def send_bytes(self, piece: bytes) -> None:
        """Send as it is.

        Raises:
            TimeoutError: the other side takes nothing.
        """
        self._writer.write(piece)
        async with asyncio.timeout(SLOWEST_WRITE_SECONDS):
            await self._writer.drain()

    async def body(self, most: int) -> bytes:
        """What follows the head.

        Raises:
            Refusal: more than `most` bytes.
        """
        pieces = bytearray()
        while isinstance(event := await self.event(), h11.Data):
            pieces += event.data
            if len(pieces) > most:
                raise Refusal(f"a body of more than {most} bytes", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        return bytes(pieces)

    async def raw(self) -> AsyncIterator[bytes]:
        """What comes after the protocol was left."""
        piece = self.http.trailing_data[0]
        while piece or (piece := await self._reader.read(PIECE)):
            yield piece
            piece = b""

    async def gone(self) -> None:
        """Wait until the other side hangs up; what it still says is dropped."""
        while await self._reader.read(PIECE):
            pass

    async def linger(self, seconds: float) -> None:
        """Hang up first, and listen a little: closing on what was not read yet would take back what was said."""
        if self._writer.can_write_eof():
            self._writer.write_eof()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.gone()

    def close(self) -> None:
        """Hang up."""
        self._writer.close()
