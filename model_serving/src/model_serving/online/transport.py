"""HTTP around the data plane: reads bodies, turns choices and refusals into responses. It decides nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

from model_serving.online.answers import choice_body, refusal_body
from model_serving.online.metrics import InferenceMetrics
from model_serving.online.parsing import parse_request
from model_serving.online.patience import within
from model_serving.online.readiness import Readiness
from model_serving.online.refusal import Refusal

BODY_SECONDS = 10.0
RETRY_AFTER = 1
Header = tuple[bytes, bytes]
AccessNote = Callable[[Scope, int, str, float], None]


@dataclass(slots=True)
class Reply:
    """A response before it is sent, and what the metrics want to know of it."""

    status: int
    outcome: str
    body: bytes
    headers: Sequence[Header]
    left_out: Iterable[str]


class InferenceEndpoint:
    """`POST /inference` as a bare ASGI application: nothing stands between it and the server.

    Args:
        most_at_once: requests that are answered at the same time; those beyond are refused at once.
        note_access: told of every answer: its request's scope, its status, outcome and seconds.
    """

    def __init__(
        self,
        readiness: Readiness,
        metrics: InferenceMetrics,
        *,
        max_body_bytes: int,
        most_at_once: int,
        note_access: AccessNote,
    ) -> None:
        self._readiness, self._metrics, self._note_access = readiness, metrics, note_access
        self._max_body_bytes, self._most_at_once = max_body_bytes, most_at_once
        self.under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; whatever goes wrong becomes an answer too."""
        began = time.perf_counter()
        try:
            reply = await self._chosen(scope, receive)
        except Refusal as refusal:
            refusal.model = self._readiness.model
            reply = _refused(refusal)
        except ClientGone:
            return
        seconds = time.perf_counter() - began
        self._metrics.count(reply.outcome, seconds, reply.left_out)
        self._note_access(scope, reply.status, reply.outcome, seconds)
        await respond(send, reply.status, reply.body, reply.headers, last=self._readiness.draining)

    async def _chosen(self, scope: Scope, receive: Receive) -> Reply:
        _refuse_other_methods(scope)
        serving = self._readiness.needed()
        body = await _body(receive, _declared_length(scope), self._max_body_bytes)
        if self.under_way >= self._most_at_once:
            raise Refusal("overloaded", "too many requests are under way", retry_after=RETRY_AFTER)
        began = time.perf_counter()
        request = parse_request(body, serving.shape)
        parsed = time.perf_counter() - began
        self._metrics.note_parsed(parsed, len(request.ids))
        self.under_way += 1
        try:
            choice = await serving.batcher.answer(request)
        finally:
            self.under_way -= 1
        timing = ((b"server-timing", _server_timing(parsed, **choice.seconds)),)
        left_out = [reason for _, reason in choice.left_out] if choice.left_out else ()
        return Reply(200, "ok", choice_body(choice, serving.model), timing, left_out)


class ClientGone(Exception):
    """Nobody is there to read an answer."""


def _refused(refusal: Refusal) -> Reply:
    headers = [(name.lower().encode(), text.encode()) for name, text in refusal.headers.items()]
    reasons = [entry.reason for entry in refusal.left_out]
    return Reply(refusal.status, refusal.code, refusal_body(refusal), headers, reasons)


def _server_timing(parse: float, read: float, score: float, rank: float) -> bytes:
    """Of the header of that name: milliseconds. Reading, scoring and ranking are those of the request's batch."""
    parts = (1e3 * parse, 1e3 * read, 1e3 * score, 1e3 * rank)
    return b"parse;dur=%.3f, read;dur=%.3f, score;dur=%.3f, rank;dur=%.3f" % parts


async def respond(send: Send, status: int, body: bytes, headers: Sequence[Header] = (), *, last: bool = False) -> None:
    """Send a JSON response.

    Args:
        last: the connection's last.
    """
    close = ((b"connection", b"close"),) if last else ()
    length = str(len(body)).encode()
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", length),
                (b"cache-control", b"no-store"),
                *headers,
                *close,
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})


def _refuse_other_methods(scope: Scope) -> None:
    if scope["method"] != "POST":
        raise Refusal("method_not_allowed", "this page takes another method")


def _declared_length(scope: Scope) -> int:
    """What the headers say of the body's length; 0 where they don't.

    Raises:
        Refusal: they say that it is no JSON.
    """
    length = 0
    for name, value in scope["headers"]:
        if name == b"content-type":
            _refuse_other_media(value)
        elif name == b"content-length" and value.isdigit():
            length = int(value[:20])
    return length


def _refuse_other_media(value: bytes) -> None:
    if value == b"application/json":
        return
    given = value.split(b";")[0].strip().lower()
    if given != b"application/json" and not given.endswith(b"+json"):
        raise Refusal("unsupported_media_type", "send the body with Content-Type: application/json")


async def _body(receive: Receive, declared: int, limit: int) -> bytes:
    """The body, of which no more than `limit` bytes are ever read."""
    if declared > limit:
        raise _too_large(limit)
    try:
        return await within(BODY_SECONDS, _received(receive, limit))
    except TimeoutError:
        raise Refusal("body_timeout", f"the body did not arrive within {BODY_SECONDS:g} s") from None


async def _received(receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part, more = message.get("body", b""), message.get("more_body", False)
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(limit: int) -> Refusal:
    return Refusal("body_too_large", f"the body has more than {limit} bytes")
