"""HTTP around the data plane: reads bodies, turns answers and refusals into responses. It decides nothing else."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Mapping

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from model_serving.online.metrics import InferenceMetrics
from model_serving.online.parsing import parse_request
from model_serving.online.readiness import Readiness
from model_serving.online.refusal import CODES, Refusal
from model_serving.online.wire import Answer

logger = logging.getLogger(__name__)
BODY_SECONDS = 10.0
CLIENT_CLOSED_REQUEST = 499  # nginx's number for it; nobody is there to read it


class InferenceEndpoint:
    """`POST /inference`."""

    def __init__(self, readiness: Readiness, metrics: InferenceMetrics, max_body_bytes: int) -> None:
        self._readiness, self._metrics, self._max_body_bytes = readiness, metrics, max_body_bytes

    async def __call__(self, request: Request) -> Response:
        """Answer one request; whatever goes wrong becomes an answer too."""
        began = time.perf_counter()
        headers: dict[str, str] = {}
        try:
            answer, status = await self._answer(request), 200
        except Refusal as refusal:
            refusal.model = self._readiness.model
            answer, status, headers = refusal.answer, refusal.status, refusal.headers
        except ClientDisconnect:
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        self._metrics.count(answer, time.perf_counter() - began)
        return as_json(answer.model_dump(mode="json"), status, headers)

    async def _answer(self, request: Request) -> Answer:
        serving = self._readiness.needed()
        _refuse_other_media(request)
        wanted = parse_request(await _body(request, self._max_body_bytes), serving.shape)
        self._metrics.count_candidates(len(wanted.keys))
        try:
            return await serving.plane.answer(wanted)
        except Refusal as refusal:
            refusal.request_id = wanted.request_id
            raise
        except Exception as error:
            logger.exception("answering /inference failed")
            raise Refusal("internal", CODES["internal"][1], request_id=wanted.request_id) from error


def as_json(content: Mapping[str, object], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response. ASCII, since a client may send half a surrogate pair and we may have to name it."""
    body = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return Response(body, status, dict(headers or {}) | {"Cache-Control": "no-store"}, "application/json")


def _refuse_other_media(request: Request) -> None:
    given = request.headers.get("content-type", "application/json").split(";")[0].strip().lower()
    if given != "application/json" and not given.endswith("+json"):
        raise Refusal("unsupported_media_type", "send the body with Content-Type: application/json")


async def _body(request: Request, limit: int) -> bytes:
    """The body, of which no more than `limit` bytes are ever read."""
    too_large = Refusal("body_too_large", f"the body has more than {limit} bytes")
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared[:20]) > limit:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise too_large
    except TimeoutError:
        raise Refusal("body_timeout", f"the body did not arrive within {BODY_SECONDS:g} s") from None
    return bytes(body)
