"""Spans of `/inference`, where somebody collects them; nothing of it is imported otherwise."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Any

from starlette.types import ASGIApp

SERVICE = "twinserve-inference"
LAST_SECONDS = 2.0  # for one batch of spans on its way, and for those that still wait when the service stops


class Tracer:
    """Makes spans and sends them from a thread, in batches; a collector that is away costs spans, never answers.

    Args:
        url: where they go, by OTLP over HTTP.
    """

    def __init__(self, url: str) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        self._provider = TracerProvider(resource=Resource.create({SERVICE_NAME: SERVICE}), shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=url, timeout=LAST_SECONDS)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))

    def traced(self, app: Any) -> ASGIApp:
        """`app` with a span for each request, which continues the caller's trace (W3C `traceparent`) if it has one."""
        from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

        # one span a request: those of receiving and sending say nothing more
        return OpenTelemetryMiddleware(app, tracer_provider=self._provider, exclude_spans=["receive", "send"])

    async def close(self) -> None:
        """Send what still waits, for `LAST_SECONDS` at most; what is not sent by then is lost."""
        loop, sent = asyncio.get_running_loop(), asyncio.Event()

        def send() -> None:
            self._provider.force_flush()  # which knows no limit
            with suppress(RuntimeError):  # nobody waits any more
                loop.call_soon_threadsafe(sent.set)

        # not by asyncio.to_thread: the loop would wait for that thread at its end, and the process with it
        threading.Thread(target=send, name="last spans", daemon=True).start()
        with suppress(TimeoutError):
            await asyncio.wait_for(sent.wait(), LAST_SECONDS)
