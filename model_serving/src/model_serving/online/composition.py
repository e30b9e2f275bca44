"""The composition root: every collaborator of the service is built here and passed on."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from pathlib import Path

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from model_serving.online.metrics import InferenceMetrics
from model_serving.online.plane import InferencePlane
from model_serving.online.readiness import Serving
from model_serving.online.wire import request_shape
from twinserve.errors import BadInput
from twinserve.features.online import OnlineReader
from twinserve.model_bundle import load_prepared
from twinserve.settings import Settings

CONNECTIONS = 64  # a worker's; more requests than that wait for one, within their time


def bundle_loader(settings: Settings, redis: Redis, metrics: InferenceMetrics) -> Callable[[Path], Serving]:
    """A function that loads a bundle and builds what serves it, made for a thread. No MLflow, no Feast."""

    def load(bundle: Path) -> Serving:
        model = load_prepared(bundle, settings.scorer)
        reader = OnlineReader(model.contract, redis)
        plane = InferencePlane(model, reader, now_micros, settings.online_redis_timeout_ms / 1000, metrics.note_read)
        shape = request_shape(model.contract, settings.online_max_candidates)
        return Serving(plane, shape)

    return load


def serving_builder(settings: Settings, redis: Redis, metrics: InferenceMetrics) -> Callable[[], Serving]:
    """A function that does in this process what a supervisor and its worker do in theirs; slow, made for a thread."""
    from model_serving.online.prepare import prepare  # imports what a worker has no use for

    load = bundle_loader(settings, redis, metrics)
    return lambda: load(prepare(settings))


def redis_client(url: str, timeout_ms: int) -> Redis:
    """A client that gives up in time and replaces a broken pooled connection once, at once.

    Raises:
        BadInput: no Redis URL.
    """
    seconds = timeout_ms / 1000
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=seconds,
            socket_timeout=seconds,
            socket_connect_timeout=seconds,
            retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        )
    except ValueError as error:  # its message does not repeat the URL, which may hold a password
        raise BadInput(f"TWINSERVE_REDIS_URL can't be used: {error}", fix="Correct it") from None
    return Redis(connection_pool=pool)


def settled(build: Callable[[], Serving]) -> Serving:
    """Build, then take what that left behind out of the garbage collector's sight.

    A full collection walks every object that the imports made, and nothing else runs meanwhile; frozen, they are not
    looked at again.
    """
    serving = build()
    gc.collect()
    gc.freeze()
    return serving


def now_micros() -> int:
    """µs since 1970 UTC."""
    return time.time_ns() // 1000
