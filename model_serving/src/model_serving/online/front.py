"""What stands before BentoML in a worker: `/inference` is answered here, everything else is BentoML's."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

PATH = "/inference"


class Front:
    """An ASGI application that answers one path itself.

    BentoML's middleware (metrics of the HTTP server, tracing, time limit, context) costs several times what an answer
    does. What `/inference` needs of it, its endpoint does.
    """

    def __init__(self, inference: ASGIApp, others: ASGIApp) -> None:
        self._inference, self._others = inference, others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] == "http" and scope["path"] == PATH:
            await self._inference(scope, receive, send)
        else:
            await self._others(scope, receive, send)
