"""The Starlette application that BentoML mounts: our pages, and the life of what is behind them."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from model_serving.online.composition import bundle_loader
from model_serving.online.http.connections.connection_limits import Limits, Register
from model_serving.online.http.endpoint import InferenceEndpoint
from model_serving.online.http.openapi import PAGE, PAGE_HEADERS, SCRIPT, openapi
from model_serving.online.inference.readiness import Readiness
from model_serving.online.inference.refusals import Refusal
from model_serving.online.process.garbage import collect_when_idle, no_automatic_collection
from model_serving.online.process.load_state import read_preparation, service_folder
from model_serving.online.process.stop_signals import DRAIN
from model_serving.online.telemetry.access_log import AccessLog
from model_serving.online.telemetry.metrics import InferenceMetrics
from model_serving.online.telemetry.queued_logging import queued_logging
from model_serving.online.telemetry.tracing import Tracer
from twinserve.command.logs import configure_logging
from twinserve.model.onnx_scorer import import_runtime
from twinserve.settings import Settings, load_settings

logger = logging.getLogger(__name__)
PARENT_CHECK_SECONDS = 1.0
STATIC = "/static_content"
OF_BENTOML = ("/livez", "/readyz", "/healthz", "/metrics")
FIRST_TRY_SECONDS = 60.0  # after that /livez and the reason for not being ready matter more


class OnlineApplication:
    """The pages, the readiness behind them, and the tasks that run as long as they do."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._metrics = InferenceMetrics()
        self.readiness = Readiness(self._metrics.note_readiness)
        self.inference = InferenceEndpoint(
            self.readiness,
            self._metrics,
            max_body_bytes=settings.online_max_body_bytes,
            most_at_once=settings.online_max_concurrency,
            note_access=AccessLog(settings.online_access_log_rate),
        )
        self.connections = Register(
            Limits(settings.online_max_head_bytes, settings.online_max_connections),
            self._metrics.note_refused,
            self._metrics.note_closed,
        )
        self._tracer = Tracer(settings.online_traces_url) if settings.online_traces_url else None
        self.entrance: ASGIApp = self._tracer.traced(self.inference) if self._tracer else self.inference
        self.pages = Starlette(routes=self._routes(), lifespan=self._lifespan)

    def _routes(self) -> list[Route | Mount]:
        return [
            Route("/inference", self.inference),
            Route("/", self._page, methods=["GET"]),
            Route("/docs.js", self._script, methods=["GET"]),
            Route("/docs.json", self._openapi, methods=["GET"]),
            Mount(STATIC, StaticFiles(directory=swagger_files())),
        ]

    async def _page(self, _: Request) -> Response:
        return HTMLResponse(PAGE, headers=PAGE_HEADERS)

    async def _script(self, _: Request) -> Response:
        return Response(SCRIPT, headers={"Cache-Control": "no-cache"}, media_type="text/javascript")

    async def _openapi(self, _: Request) -> Response:
        return JSONResponse(openapi(self.readiness), headers={"Cache-Control": "no-store"})

    def refuse_unready(self) -> None:
        """For `/readyz`.

        Raises:
            HTTPException: 503 with the reason, while no model is loaded, and once the service is about to stop.
        """
        if self.readiness.draining:
            raise HTTPException(503, "draining: the service is about to stop")
        try:
            self.readiness.needed()
        except Refusal as refusal:
            raise HTTPException(refusal.status, refusal.message, refusal.headers) from None

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        _log_our_way(self.settings)
        logger.info("worker %d starts", os.getpid())
        self._metrics.note_start()
        self.connections.fit_open_files()
        asyncio.get_running_loop().add_signal_handler(DRAIN, self.readiness.drain)
        with queued_logging(self._metrics.note_lost_line):
            lasting = (self._load(), _leave_with_parent(), self.connections.look_after())
            tasks = [asyncio.create_task(work) for work in lasting]
            try:
                # connections are accepted after this: none goes to a worker that loads while another one is ready
                await self.readiness.first_try(FIRST_TRY_SECONDS)
                yield
            finally:
                for task in tasks:
                    task.cancel()
                    with suppress(asyncio.CancelledError):
                        await task
                if self.readiness.serving:
                    await self.readiness.serving.batcher.close()
                if self._tracer:
                    await self._tracer.close()

    async def _load(self) -> None:
        """Load the model, then look after memory until the service stops."""
        try:
            load = bundle_loader(self.settings, self._metrics)
            await _import_early()
            await self.readiness.follow(partial(read_preparation, service_folder(self.settings)), load)
            with no_automatic_collection():
                await collect_when_idle(lambda: self.inference.under_way == 0)
        except Exception:  # nobody awaits this before the worker stops
            logger.exception("the model is no longer loaded or looked after")
            self.readiness.give_up("loading the model ended unexpectedly; the service's log has the rest")


async def _import_early() -> None:
    """While the supervisor still prepares. What goes wrong does so again when a model is loaded that needs it."""
    try:
        await asyncio.to_thread(import_runtime)
    except Exception:
        logger.exception("what scores ONNX models can't be imported")


def online_application() -> OnlineApplication:
    """The application, with the settings of this process's environment."""
    return OnlineApplication(load_settings())


def paths() -> frozenset[str]:
    """Of every page but `/inference`, BentoML's included."""
    static = (f"{STATIC}/{file.name}" for file in swagger_files().iterdir())
    return frozenset(("/", "/docs.js", "/docs.json", *OF_BENTOML, *static))


def swagger_files() -> Path:
    """Swagger UI's files, which BentoML carries."""
    import bentoml

    return Path(bentoml.__file__).parent / "_internal" / "server" / "static_content"


def _log_our_way(settings: Settings) -> None:
    """BentoML's lines too go to standard error in our format; a line for every request is not written at all."""
    configure_logging(settings.log_level, settings.log_format)
    for name in ("bentoml", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.setLevel(logging.WARNING)
        logger.propagate = name != "uvicorn.access"  # without a handler, uvicorn does not even build the line


async def _leave_with_parent() -> None:
    """A worker whose supervisor was killed is of no use, and would hold the port."""
    parent = os.getppid()
    while os.getppid() == parent:  # noqa: ASYNC110 - nothing tells a process that its parent has died
        await asyncio.sleep(PARENT_CHECK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
