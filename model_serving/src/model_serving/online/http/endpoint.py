"""HTTP around the data plane: reads bodies, turns choices and refusals into responses. It decides nothing else."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

from model_serving.online.http.answers import choice_body, refusal_body
from model_serving.online.http.body_reader import Bodies, ClientGone
from model_serving.online.http.parsing import parse_request
from model_serving.online.inference.readiness import Readiness
from model_serving.online.inference.refusals import CODES, RETRY_AFTER, Refusal
from model_serving.online.telemetry.metrics import InferenceMetrics
from model_serving.online.telemetry.rate_limited_log import RateLimitedLog

logger = logging.getLogger(__name__)
Header = tuple[bytes, bytes]
AccessNote = Callable[[Scope, int, str, float, Iterable[str], Iterable[tuple[str, str]]], None]


@dataclass(slots=True)
class Reply:
    """A response before it is sent, and what the metrics want to know of it."""

    status: int
    outcome: str
    body: bytes
    headers: Sequence[Header]
    left_out: Iterable[str]
    passed: Iterable[tuple[str, str]] = ()


class InferenceEndpoint:
    """`POST /inference` as a bare ASGI application: nothing stands between it and the server.

    Args:
        most_at_once: requests that are answered at the same time; those beyond are refused at once.
        note_access: told of every answer: its request's scope, status, outcome and seconds, and which candidates lacked
            what, as `InferenceMetrics.count` takes it.
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
        self.bodies, self._most_at_once = Bodies(max_body_bytes), most_at_once
        self._faults, self._unnoted = RateLimitedLog(logger), RateLimitedLog(logger)
        self.under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; whatever goes wrong becomes an answer too."""
        began = time.perf_counter()
        try:
            reply = await self._chosen(scope, receive)
        except Refusal as refusal:
            reply = self._refused(refusal)
        except ClientGone:
            return
        except Exception as error:
            self._faults.say(logging.ERROR, "answering /inference failed: %s", error, trace=True)
            reply = self._refused(Refusal("internal", CODES["internal"][1]))
        self._noted(scope, reply, time.perf_counter() - began)
        await respond(send, reply.status, reply.body, reply.headers, last=self._readiness.draining)

    def _refused(self, refusal: Refusal) -> Reply:
        refusal.model = self._readiness.model
        headers = [(name.lower().encode(), text.encode()) for name, text in refusal.headers.items()]
        reasons = [entry.reason for entry in refusal.left_out]
        return Reply(refusal.status, refusal.code, refusal_body(refusal), headers, reasons)

    def _noted(self, scope: Scope, reply: Reply, seconds: float) -> None:
        """What can't be noted, say on a full disk, is answered all the same."""
        try:
            self._metrics.count(reply.outcome, seconds, reply.left_out, reply.passed)
            self._note_access(scope, reply.status, reply.outcome, seconds, reply.left_out, reply.passed)
        except Exception as error:
            self._unnoted.say(logging.ERROR, "an answer is missing in metrics or access log: %s", error, trace=True)

    async def _chosen(self, scope: Scope, receive: Receive) -> Reply:
        _refuse_other_methods(scope)
        serving = self._readiness.needed()
        body = await self.bodies.read(receive, _declared_length(scope))
        if self.under_way >= self._most_at_once:
            raise Refusal("overloaded", "too many requests are under way", retry_after=RETRY_AFTER)
        began = time.perf_counter()
        request = parse_request(body, serving.shape)
        del body  # of the largest size, it would stay until the answer is there
        parsed = time.perf_counter() - began
        self._metrics.note_parsed(parsed, len(request.ids))
        self.under_way += 1
        try:
            choice = await serving.batcher.answer(request)
        finally:
            self.under_way -= 1
        timing = ((b"server-timing", _server_timing(parsed, **choice.seconds)),)
        left_out = [reason for _, reason in choice.left_out] if choice.left_out else ()
        passed = [pair for _, lacks in choice.passed_as_nan for pair in lacks.items()] if choice.passed_as_nan else ()
        return Reply(200, "ok", choice_body(choice, serving.model), timing, left_out, passed)


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
        Refusal: they say that it is no JSON, or compressed.
    """
    length = 0
    for name, value in scope["headers"]:
        if name == b"content-type":
            _refuse_other_media(value)
        elif name == b"content-length" and value.isdigit():
            length = int(value[:20])
        elif name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            raise Refusal("unsupported_media_type", "send the body as it is, not compressed")
    return length


def _refuse_other_media(value: bytes) -> None:
    if value == b"application/json":
        return
    given = value.split(b";")[0].strip().lower()
    if given != b"application/json" and not given.endswith(b"+json"):
        raise Refusal("unsupported_media_type", "send the body with Content-Type: application/json")
