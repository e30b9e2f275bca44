"""What stands before BentoML in a worker: `/inference` is answered here, the other pages that there are by BentoML."""

from __future__ import annotations

from collections.abc import Set

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

PATH = "/inference"


class Dispatcher:
    """An ASGI application that answers one path itself, and those that don't exist.

    BentoML's middleware (metrics of the HTTP server, tracing, time limit, context) costs several times what an answer
    does. What `/inference` needs of it, its endpoint does. BentoML counts by path, whatever it is: memory, the pages of
    metrics and their files would grow with every path that somebody makes up.

    Args:
        others: BentoML's application.
        pages: the paths that it knows.
    """

    def __init__(self, inference: ASGIApp, others: ASGIApp, pages: Set[str]) -> None:
        self._inference, self._others, self._pages = inference, others, pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] == "http" and scope["path"] == PATH:
            await self._inference(scope, receive, send)
        elif scope["type"] == "http" and scope["path"] not in self._pages:
            await PlainTextResponse("Not Found", 404)(scope, receive, send)
        else:
            await self._others(scope, receive, send)
