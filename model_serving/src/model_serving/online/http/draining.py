"""While the service drains, each answer is its connection's last."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from model_serving.online.inference.readiness import Readiness


class Draining:
    """ASGI middleware: `Connection: close` on every answer while draining, so that no client keeps what will break."""

    def __init__(self, app: ASGIApp, readiness: Readiness) -> None:
        self._app, self._readiness = app, readiness

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        draining = scope["type"] == "http" and self._readiness.draining
        await self._app(scope, receive, _closing(send) if draining else send)


def _closing(send: Send) -> Send:
    async def closing(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)["Connection"] = "close"
        await send(message)

    return closing
