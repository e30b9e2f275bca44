"""HTTP/1.1 on one connection, by uvicorn's protocol over httptools, and what that leaves open.

- An offer to go on in another protocol (`Upgrade`, as the JDK's client and `curl --http2` make it) is not taken up, and
  the request is answered as any other. The parser takes what follows such a head for the other protocol, and uvicorn
  drops it: the body would be gone.
- Heads are bounded in bytes, in lines and in time, what surrounds the parts of a body too, and so are requests that
  are sent before the earlier ones are answered: what is not parsed yet waits, and the client with it.
- What can't be read, or is too large, is refused in the form of every answer, after the answers to what came before.
- A connection that ends while something comes is closed such that the client can read what it was told.
"""

from __future__ import annotations

import asyncio
import math
from functools import lru_cache
from typing import Any, NoReturn, cast
from urllib.parse import unquote

import httptools
from uvicorn._types import HTTPScope
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from model_serving.online.http.answers import refusal_body
from model_serving.online.http.connections.connection_limits import HEALTH, Register
from model_serving.online.inference.refusals import Refusal

STEP = 4096  # bytes that are parsed at a time: the requests among them are taken in together
MOST_HEADERS = 128  # the gateway passes on 101 and adds one
MOST_URL_BYTES = 8192
CHUNK_BYTES = 16  # of a chunk's own line; more is an extension, of which nobody makes use
LINGER_SECONDS = 2.0
NEVER = math.inf
HOP_BY_HOP = (b"upgrade", b"http2-settings")


class Connection(HttpToolsProtocol):
    """One connection.

    Args:
        register: of all of them.
    """

    def __init__(
        self,
        register: Register,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config=config, server_state=server_state, app_state=app_state, _loop=_loop)
        self.ws_protocol_class = None  # no page speaks WebSocket: an offer like any other
        self.scope = cast(HTTPScope, {"method": ""})  # of no request; uvicorn fills it in when a head is all there
        self._register, self._limits = register, register.limits
        self._is_guest = False
        self._carefree_bytes = (
            register.limits.head_bytes - 2 * STEP
        )  # with no more before its last step, no head is too large
        self._in_body = False  # of a request: where its parser is
        self._begun: object = None  # the scope of the head that is not all there
        self._due = NEVER  # when what is awaited must have come
        self._offered = b""  # the method of a request that offers another protocol, as long as its head is read
        self._spent = 0  # bytes of an unfinished head, or around the parts of a body
        self._unparsed = b""
        self._stopped_by: Refusal | None = None
        self._deaf = False  # nothing more is read
        self._client_done = self._hung_up = False
        self._last_words: bytes | None = None  # after the answers that are under way
        self._unread_bytes, self._unread_since = 0, NEVER

    # ------------------------------------------------------------ what the event loop says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self._is_guest = self._register.admit(self)
        limits = self._limits
        self._due = self.loop.time() + (limits.guest_seconds if self._is_guest else limits.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._register.leave(self)
        self._deaf, self._unparsed = True, b""
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deaf or self._unparsed or self.pipeline or len(data) > STEP:
            self._parse_in_steps(data)
            return
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserUpgrade, httptools.HttpParserError) as stop:
            self._parse_on(data, stop)
        if self._in_body:
            self._note_unfinished_body(len(data))
        elif "method" not in self.scope:
            self._note_unfinished_head(len(data))  # type: ignore[unreachable] # its head is not all there

    def eof_received(self) -> bool | None:  # type: ignore[override] # asyncio's own may say so
        """The client sends no more. What it has sent whole is answered: it may have closed this half only."""
        if self._deaf:
            return None
        self._client_done = True
        self._take_no_more(b"")
        return self._last_words is not None or None

    # ----------------------------------------------------------------- what the parser says

    def on_headers_complete(self) -> None:
        if len(self.url) > MOST_URL_BYTES or len(self.headers) > MOST_HEADERS or self._spent > self._carefree_bytes:
            self._refuse_large_head()
        if self.parser.should_upgrade():
            self._offered = self.parser.get_method()
            return
        if self._is_guest:
            self._refuse_guest()
        self._begin()
        self._in_body, self._due, self._spent = True, NEVER, 0
        self.headers = []  # what follows are trailers, not headers of the request
        if self._is_guest:
            self.cycle.keep_alive = False

    def _begin(self) -> None:
        """As uvicorn does it, which parses each URL anew."""
        scope, version, before = self.scope, self.parser.get_http_version(), self._latest
        scope["method"] = self.parser.get_method().decode("ascii")
        if version != "1.1":
            scope["http_version"] = version
        scope["path"], scope["raw_path"], scope["query_string"] = _parts(self.url)
        self.cycle = RequestResponseCycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def on_chunk_header(self) -> None:
        self._spent -= CHUNK_BYTES

    def on_body(self, body: bytes) -> None:
        self._spent -= len(body)
        if not self.cycle.response_complete:
            self.cycle.body += body
            if len(self.cycle.body) > HIGH_WATER_LIMIT:
                self.flow.pause_reading()
            self.cycle.message_event.set()

    def on_message_complete(self) -> None:
        if self._offered:
            return
        self._in_body, self._due, self._spent = False, NEVER, 0
        if not self.cycle.response_complete:
            self.cycle.more_body = False
            self.cycle.message_event.set()

    # ------------------------------------------------------------------------------ parsing

    def _parse_in_steps(self, data: bytes) -> None:
        """Parse until a request is there that has to wait for the ones before it; the rest waits unparsed."""
        data = self._unparsed + data if self._unparsed else data
        self._unparsed = b""
        for begin in range(0, len(data), STEP):
            if self._deaf:
                return
            if self.pipeline:
                self._hold(data[begin:])
                return
            self.data_received(data[begin : begin + STEP])

    def _hold(self, data: bytes) -> None:
        self._unparsed = data
        self.flow.read_paused = False  # else the application's next read would end the pause
        self.transport.pause_reading()

    def _parse_on(self, data: bytes, stop: Exception) -> None:
        """Where the parser has stopped: after a head that offers another protocol, or since it can't go on."""
        try:
            while isinstance(stop, httptools.HttpParserUpgrade):
                data = self._head_without_offer() + data[stop.args[0] :]
                try:
                    self.parser.feed_data(data)
                except httptools.HttpParserUpgrade as offer:
                    stop = offer
                else:
                    return
        except (Refusal, httptools.HttpParserError) as error:
            stop = error
        self._refuse(self._stopped_by or _unreadable(stop))

    def _head_without_offer(self) -> bytes:
        """For a new parser: the same head, from which nobody could tell that it offers another protocol.

        Raises:
            Refusal: CONNECT asks for a tunnel, and is no request without it.
        """
        method, self._offered = self._offered, b""
        if method == b"CONNECT":
            self._stop(Refusal("method_not_allowed", "this is no proxy"))
        lines = [b"%s %s HTTP/%s" % (method, self.url, self.parser.get_http_version().encode())]
        for name, value in self.headers:
            kept = _without(value) if name == b"connection" else value
            if name not in HOP_BY_HOP and kept:
                lines.append(b"%s: %s" % (name, kept))
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return b"\r\n".join((*lines, b"", b""))

    # ------------------------------------------------------------------------------- limits

    def _refuse_large_head(self) -> None:
        if len(self.url) > MOST_URL_BYTES:
            self._stop(Refusal("url_too_long", f"the URL has more than {MOST_URL_BYTES} bytes"))
        if len(self.headers) > MOST_HEADERS:
            self._stop(self._too_many_headers())
        if self._spent + 2 * STEP > self._limits.head_bytes and self._head_bytes() > self._limits.head_bytes:
            self._stop(self._too_large())

    def _stop(self, refusal: Refusal) -> NoReturn:
        """Stop the parser, which raises an error of its own then."""
        self._stopped_by = refusal
        raise refusal

    def _head_bytes(self) -> int:
        """As the client sent it, but for spaces."""
        first = len(self.parser.get_method()) + len(self.url) + len("  HTTP/1.1\r\n\r\n")
        return first + sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers)

    def _too_many_headers(self) -> Refusal:
        return Refusal("head_too_large", f"the request has more than {MOST_HEADERS} headers")

    def _too_large(self) -> Refusal:
        return Refusal("head_too_large", f"the request's headers have more than {self._limits.head_bytes} bytes")

    def _refuse_guest(self) -> None:
        if self.url.partition(b"?")[0].decode("latin-1") not in HEALTH:
            self._stop(self._register.too_many())

    def _note_unfinished_head(self, size: int) -> None:
        if self._deaf:
            return
        if self.scope is not self._begun:  # it began in this step, whose earlier bytes may be another request's
            self._begun = self.scope
            if not self._is_guest:
                self._due = self.loop.time() + self._limits.head_seconds
        else:
            self._spent += size
        if len(self.headers) > MOST_HEADERS:
            self._refuse(self._too_many_headers())
        elif self._spent > self._limits.head_bytes:
            self._refuse(self._too_large())

    def _note_unfinished_body(self, size: int) -> None:
        if self._deaf:
            return
        if self._due == NEVER:
            self._due = self.loop.time() + self._limits.body_seconds
        if self.cycle.transport is self.transport:
            self.cycle.transport = cast(asyncio.Transport, _Patient(self))
        self._spent = max(0, self._spent + size)  # else many small parts would make room for a very large line
        if self._spent > self._limits.head_bytes + STEP or len(self.headers) > MOST_HEADERS:
            self._refuse(Refusal("head_too_large", "what surrounds the parts of the body, or follows it, is too large"))

    def look(self, now: float) -> None:
        """End what has taken too long."""
        if now >= self._due:
            self._end_what_is_late()
        elif not self.flow.write_paused:
            self._unread_bytes = 0
        elif (unread := self.transport.get_write_buffer_size()) != self._unread_bytes:
            self._unread_bytes, self._unread_since = unread, now
        elif now - self._unread_since > self._limits.unread_seconds:
            self._register.note_closed("unread")
            self.transport.abort()

    def _end_what_is_late(self) -> None:
        if self._hung_up:
            self.transport.abort()
        elif self._is_guest:
            self._refuse(self._register.too_many())
        elif self._in_head():
            self._refuse(Refusal("head_timeout", f"the headers did not arrive within {self._limits.head_seconds:g} s"))
        elif self._in_body:
            self._register.note_closed("unfinished")
            self._take_no_more(b"")
        else:
            if self._latest is None:  # else it was used, and is kept no longer
                self._register.note_closed("silent")
            self.transport.close()

    # ------------------------------------------------------------------------------- ending

    def on_response_complete(self) -> None:
        """As uvicorn's, which sets a timer for each answer; here `look` is what ends a kept connection."""
        self.server_state.total_requests += 1
        if self.transport.is_closing() or self._hung_up:
            return
        self.flow.resume_reading()
        ending = self._last_words is not None
        if self.pipeline and not (ending and self.pipeline[-1][0].more_body):
            self._start_asgi_task(*self.pipeline.pop())
        elif self._last_words is not None:
            self._say(self._last_words)
        elif not self._in_body and not self._in_head():
            self._due = self.loop.time() + self.timeout_keep_alive
        if self._unparsed and not self.pipeline:
            self.transport.resume_reading()
            self._parse_in_steps(b"")

    def dismiss(self, refusal: Refusal) -> None:
        """Say no, and close at once."""
        self._register.note_refused(refusal, self._client)
        if self._latest is None:
            self.transport.write(self._answer(refusal))
        self._deaf = self._hung_up = True
        self.transport.close()

    def _refuse(self, refusal: Refusal) -> None:
        self._register.note_refused(refusal, self._client)
        self._take_no_more(self._answer(refusal))

    def _take_no_more(self, words: bytes) -> None:
        """Answer the requests that are whole, then say `words`, and end."""
        self._deaf, self._unparsed, self._due = True, b"", NEVER
        latest = self._latest
        if latest and self._in_body and not self.pipeline:  # nobody waits but the one whose body is not whole
            latest.disconnected = True
            latest.message_event.set()
            self._say(b"" if latest.response_started else words)
        elif latest is None or latest.response_complete:
            self._say(words)
        else:
            self._last_words = words

    def _say(self, words: bytes) -> None:
        if words:
            self.transport.write(words)
        self.hang_up()

    def hang_up(self) -> None:
        """Close, but hear the client out for a moment: a close with something unread is a reset, and takes from the
        client what it was told.
        """
        self._deaf = self._hung_up = True
        self._unparsed = b""
        if self._client_done or self.transport.is_closing() or not self.transport.can_write_eof():
            self.transport.close()
            return
        self.transport.write_eof()
        self.transport.resume_reading()
        self._due = self.loop.time() + LINGER_SECONDS

    def has_unread_body(self) -> bool:
        """Whether a part of the latest request's body is still to come."""
        return self._in_body

    def _in_head(self) -> bool:
        """Whether a head has begun, and is not all there."""
        return "method" not in self.scope

    @property
    def _latest(self) -> RequestResponseCycle | None:
        """The last request whose head was read."""
        return self.cycle

    @property
    def _client(self) -> str:
        return self.client[0] if self.client else "a client"

    def _answer(self, refusal: Refusal) -> bytes:
        body = refusal_body(refusal)
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Cache-Control": "no-store"}
        headers |= refusal.headers | {"Connection": "close"}
        own = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        lines = [b"%s: %s\r\n" % header for header in (*self.server_state.default_headers, *own)]
        return b"".join((STATUS_LINE[refusal.status], *lines, b"\r\n", body))


class _Patient:
    """The transport of an answer to a request whose body is not all there yet."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._transport = connection, connection.transport
        self.write, self.is_closing = self._transport.write, self._transport.is_closing

    def close(self) -> None:
        """Close; where something is still to come, such that the client can read the answer."""
        if self._connection.has_unread_body():
            self._connection.hang_up()
        else:
            self._transport.close()


@lru_cache(maxsize=64)
def _parts(url: bytes) -> tuple[str, bytes, bytes]:
    """Path, path as it was sent, and query."""
    parsed = httptools.parse_url(url)
    return unquote(parsed.path.decode("ascii")), parsed.path, parsed.query or b""


def _without(tokens: bytes) -> bytes:
    """A header `Connection` that says nothing of another protocol."""
    return b", ".join(token for token in map(bytes.strip, tokens.split(b",")) if token.lower() not in HOP_BY_HOP)


def _unreadable(error: Exception) -> Refusal:
    reason = "its URL" if isinstance(error, httptools.HttpParserCallbackError) else str(error)
    return Refusal("not_http", f"this can't be read as HTTP/1.1: {reason[:100]}")
