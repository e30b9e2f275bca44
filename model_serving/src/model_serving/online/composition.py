"""The composition root: every collaborator of the service is built here and passed on."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from model_serving.online.metrics import InferenceMetrics
from model_serving.online.plane import InferencePlane
from model_serving.online.readiness import Serving
from model_serving.online.wire import request_shape
from twinserve.errors import BadInput, StepMissing
from twinserve.features.online import OnlineReader
from twinserve.features.service import describe_service
from twinserve.features.store import open_store
from twinserve.registry import Registry, ServedModel
from twinserve.settings import Settings

CONNECTIONS = 64  # a worker's; more requests than that wait for one, within their time


def serving_builder(settings: Settings, redis: Redis, metrics: InferenceMetrics) -> Callable[[], Serving]:
    """A function that loads the champion and builds what serves it; slow, made for a thread."""

    def build() -> Serving:
        model = load_checked(settings)
        reader = OnlineReader(model.contract, redis)
        plane = InferencePlane(model, reader, now_micros, settings.online_redis_timeout_ms / 1000, metrics.note_read)
        shape = request_shape(model.contract, settings.online_max_candidates)
        return Serving(plane, shape)

    return build


def load_checked(settings: Settings) -> ServedModel:
    """The champion, after its contract was held against the feature service.

    Raises:
        StepMissing: no champion, or its feature service is not registered.
        ContractMismatch: damaged, or it does not fit.
        TransientError: MLflow or the feature registry can't be reached.
    """
    model = Registry(settings).load_champion()
    store = open_store(settings, redis_url_of(settings))
    model.contract.check_service(describe_service(store, model.contract.feature_service))
    return model


def redis_url_of(settings: Settings) -> str:
    """The Redis that `model-serving serve` found or started.

    Raises:
        StepMissing: the service was started in another way, without one.
    """
    if settings.redis_url is None:
        raise StepMissing("no Redis is named", fix="Start with `model-serving serve`, or set TWINSERVE_REDIS_URL")
    return settings.redis_url.get_secret_value()


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

    A full collection walks every object of Feast and MLflow, some hundreds of milliseconds in which nothing else
    runs; frozen, they are not looked at again.
    """
    serving = build()
    gc.collect()
    gc.freeze()
    return serving


def now_micros() -> int:
    """µs since 1970 UTC."""
    return time.time_ns() // 1000
