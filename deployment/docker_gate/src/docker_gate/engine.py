"""The Docker engine behind its socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import h11

from docker_gate.peer import Peer
from docker_gate.refusal import Refusal

CONNECT_SECONDS = 5.0
# to the head of the answer: a stop may take its grace (99 s), a create may wait for the disk
ANSWER_SECONDS = 150.0
LARGEST_INSPECTION = 4 << 20
Head = h11.Response | h11.InformationalResponse


@dataclass(frozen=True)
class Engine:
    """Speaks to the engine, one connection a call.

    Args:
        socket: path of its socket.
    """

    socket: str

    @asynccontextmanager
    async def call(
        self, method: str, target: str, body: bytes = b"", *, upgrade: bool = False
    ) -> AsyncIterator[tuple[Head, Peer]]:
        """Ask, and give the head of the answer with the connection that brings the rest.

        Args:
            upgrade: ask for a stream of its own.

        Raises:
            Refusal: status 502, the engine does not answer.
        """
        peer = await self._connected()
        try:
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    head = await _answered(peer, _request(method, target, body, upgrade=upgrade), body)
            except (OSError, h11.RemoteProtocolError, TimeoutError) as error:
                raise self._down(error) from None
            yield head, peer
        finally:
            peer.close()

    async def inspect(self, version: str, container: str) -> dict[str, Any]:
        """What the engine knows about a container.

        Raises:
            Refusal: status 404, there is none; 502, the engine does not answer.
        """
        async with self.call("GET", f"{version}/containers/{container}/json") as (head, peer):
            if head.status_code == HTTPStatus.NOT_FOUND:
                raise Refusal(f"No such container: {container}", HTTPStatus.NOT_FOUND)
            if head.status_code != HTTPStatus.OK:
                raise Refusal(
                    f"the engine can't inspect {container}: status {head.status_code}", HTTPStatus.BAD_GATEWAY
                )
            try:
                found = json.loads(await peer.body(LARGEST_INSPECTION))
            except (OSError, ValueError, h11.RemoteProtocolError) as error:
                raise self._down(error) from None
        return dict(found)

    async def _connected(self) -> Peer:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return Peer(*await asyncio.open_unix_connection(self.socket), h11.CLIENT)
        except (OSError, TimeoutError) as error:
            raise self._down(error) from None

    def _down(self, error: Exception) -> Refusal:
        reason = str(error) or type(error).__name__
        return Refusal(f"the Docker engine does not answer at {self.socket}: {reason}", HTTPStatus.BAD_GATEWAY)


def _request(method: str, target: str, body: bytes, *, upgrade: bool) -> h11.Request:
    headers = [("Host", "docker"), ("Content-Length", str(len(body)))]
    headers += [("Content-Type", "application/json")] if body else []
    headers += [("Connection", "Upgrade"), ("Upgrade", "tcp")] if upgrade else [("Connection", "close")]
    return h11.Request(method=method, target=target, headers=headers)


async def _answered(peer: Peer, request: h11.Request, body: bytes) -> Head:
    await peer.send(request)
    if body:
        await peer.send(h11.Data(data=body))
    await peer.send(h11.EndOfMessage())
    while isinstance(event := await peer.event(), h11.InformationalResponse):
        if event.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            return event
    if not isinstance(event, h11.Response):
        raise h11.RemoteProtocolError("it hung up without an answer")
    return event
