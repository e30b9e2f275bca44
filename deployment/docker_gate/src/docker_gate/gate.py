"""The gate: one call a connection, recognised, checked, forwarded, and its answer streamed back."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
import time
from http import HTTPStatus
from typing import Any

import h11

from docker_gate.calls import CREATE, LIST, PING, Call, recognised
from docker_gate.container_body import TASK_LABEL, checked
from docker_gate.engine import Engine, Head
from docker_gate.peer import Peer
from docker_gate.refusal import Refusal
from docker_gate.settings import GateSettings

MOST_CALLS = 256
LARGEST_BODY = 256 << 10
# for all of a request, from the connection to its last byte
REQUEST_SECONDS = 10.0
PASSED_ON = {b"content-type", b"content-length", b"api-version", b"ostype", b"server"}
LONGEST_SHOWN = 200
LINGER_SECONDS = 1.0
_log = logging.getLogger("docker_gate")


class Gate:
    """Stands before the engine.

    Args:
        settings: what is let through.
        most_calls: at the same time; a further one is refused with status 503.
        request_seconds: how long a caller may take to say what it wants.
    """

    def __init__(
        self, settings: GateSettings, most_calls: int = MOST_CALLS, request_seconds: float = REQUEST_SECONDS
    ) -> None:
        self._settings, self._most_calls, self._request_seconds = settings, most_calls, request_seconds
        self._engine = Engine(settings.socket)
        self._calls = 0

    async def start(self) -> asyncio.Server:
        """Listen."""
        return await asyncio.start_server(self._connected, self._settings.host, self._settings.port)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _notice_dead_callers(writer)
        caller, note = Peer(reader, writer, h11.SERVER), _Note(writer.get_extra_info("peername"))
        self._calls += 1
        try:
            await self._handled(caller, note)
        except (OSError, TimeoutError, h11.ProtocolError) as error:
            note.reason = f"broken off: {str(error) or type(error).__name__}"
        except asyncio.CancelledError:  # not raised again: nobody waits for this task
            note.reason = "broken off: the gate stops"
        finally:
            self._calls -= 1
            caller.close()
            note.write()

    async def _handled(self, caller: Peer, note: _Note) -> None:
        try:
            await self._forwarded(caller, note)
        except Refusal as refusal:
            note.status, note.reason = refusal.status, refusal.message
            await _refuse(caller, refusal)

    async def _forwarded(self, caller: Peer, note: _Note) -> None:
        if self._calls > self._most_calls:
            raise Refusal(f"more than {self._most_calls} calls at once", HTTPStatus.SERVICE_UNAVAILABLE)
        request, body = await self._request(caller)
        note.call = f"{request.method.decode()} {request.target.decode()[:LONGEST_SHOWN]}"
        call = recognised(request.method.decode(), request.target.decode())
        note.level = logging.DEBUG if call.kind.name == PING else logging.INFO
        if call.kind.name == CREATE:
            body = self._container(body, note)
        elif body:
            raise Refusal(f"{call.kind.name} with a body")
        target = call.target(await self._task_container(call))
        upgrade = call.kind.upgrades and _wants_upgrade(request)
        async with self._engine.call(call.method, self._of_tasks(call, target), body, upgrade=upgrade) as (
            head,
            engine,
        ):
            note.status = head.status_code
            await _relay_while_heard(caller, head, engine)

    async def _request(self, caller: Peer) -> tuple[h11.Request, bytes]:
        try:
            async with asyncio.timeout(self._request_seconds):
                request = await caller.event()
                if not isinstance(request, h11.Request):
                    raise ConnectionResetError("hung up without a call")
                if any(name == b"transfer-encoding" for name, _ in request.headers):
                    raise Refusal("a body without a length", HTTPStatus.LENGTH_REQUIRED)
                return request, await caller.body(LARGEST_BODY)
        except TimeoutError:
            raise Refusal("the call did not arrive in time", HTTPStatus.REQUEST_TIMEOUT) from None
        except h11.RemoteProtocolError as error:
            raise Refusal(f"no HTTP/1.1 call: {error}", error.error_status_hint) from None

    def _container(self, body: bytes, note: _Note) -> bytes:
        config, forwarded = checked(body, self._settings)
        note.detail = f" image={config['Image']} task={config['Labels'][TASK_LABEL]!r}"
        return forwarded

    async def _task_container(self, call: Call) -> str:
        """The id of the container that a call is about, if it is one of a task of this deployment."""
        if not call.container:
            return ""
        found = await self._engine.inspect(call.version, call.container)
        if not _is_of_a_task(found, self._settings.network):
            raise Refusal(f"container {call.container} is not one of a task of this deployment")
        return str(found["Id"])

    def _of_tasks(self, call: Call, target: str) -> str:
        if call.kind.name != LIST:
            return target
        filters = json.dumps({"label": [TASK_LABEL], "network": [self._settings.network]})
        return Call(call.kind, call.method, call.version, "", {**call.parameters, "filters": filters}).target("")


class _Note:
    """What the log says of one call, of a health check at level DEBUG only; of a body no more than image and task."""

    def __init__(self, caller: Any) -> None:
        self.caller = caller[0] if caller else "?"
        self.call, self.detail, self.reason, self.status = "no call", "", "", 0
        self.level = logging.INFO
        self._began = time.monotonic()

    def write(self) -> None:
        taken = time.monotonic() - self._began
        shown = f"{self.caller} {self.call}{self.detail} -> {self.status or '-'} {self.reason}".rstrip()
        _log.log(logging.WARNING if self.reason else self.level, "%s (%.3f s)", shown, taken)


def _notice_dead_callers(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)


def _wants_upgrade(request: h11.Request) -> bool:
    return any(name == b"upgrade" and value.lower() == b"tcp" for name, value in request.headers)


def _is_of_a_task(found: dict[str, Any], network: str) -> bool:
    labels = found.get("Config", {}).get("Labels") or {}
    known = re.fullmatch(r"[0-9a-f]{64}", str(found.get("Id", "")))
    return bool(known and labels.get(TASK_LABEL) and found.get("HostConfig", {}).get("NetworkMode") == network)


async def _relay_while_heard(caller: Peer, head: Head, engine: Peer) -> None:
    """Pass the answer on until its end, or until nobody listens; nothing of the caller reaches the engine any more."""
    relay = asyncio.create_task(_relay(caller, head, engine))
    gone = asyncio.create_task(caller.gone())
    try:
        await asyncio.wait({relay, gone}, return_when=asyncio.FIRST_COMPLETED)
        if relay.done():
            await relay
    finally:
        for task in (relay, gone):
            task.cancel()
        await asyncio.gather(relay, gone, return_exceptions=True)


async def _relay(caller: Peer, head: Head, engine: Peer) -> None:
    headers = [(name, value) for name, value in head.headers if name in PASSED_ON]
    if isinstance(head, h11.InformationalResponse):
        headers += [(b"Connection", b"Upgrade"), (b"Upgrade", b"tcp")]
        await caller.send(h11.InformationalResponse(status_code=head.status_code, headers=headers, reason=head.reason))
        async for piece in engine.raw():
            await caller.send_bytes(piece)
        return
    headers += [(b"Connection", b"close")]
    await caller.send(h11.Response(status_code=head.status_code, headers=headers, reason=head.reason))
    while isinstance(event := await engine.event(), h11.Data):
        await caller.send(event)
    await caller.send(h11.EndOfMessage())


async def _refuse(caller: Peer, refusal: Refusal) -> None:
    if caller.http.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
        return  # an answer has begun: it is broken off
    body = refusal.body()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("Connection", "close")]
    await caller.send(h11.Response(status_code=refusal.status, headers=headers))
    await caller.send(h11.Data(data=body))
    await caller.send(h11.EndOfMessage())
    await caller.linger(LINGER_SECONDS)
