"""The composition root: every collaborator of the service is built here and passed on."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

from model_serving.online.batcher import Batcher
from model_serving.online.metrics import InferenceMetrics
from model_serving.online.plane import InferencePlane
from model_serving.online.readiness import Serving
from model_serving.online.wire import request_shape
from twinserve.errors import StepMissing
from twinserve.features.online import open_reader
from twinserve.features.service import describe_service
from twinserve.features.store import open_store
from twinserve.registry import Registry, ServedModel
from twinserve.settings import Settings


def serving_builder(settings: Settings, metrics: InferenceMetrics) -> Callable[[], Serving]:
    """A function that loads the champion and builds what serves it; slow, made for a thread."""

    def build() -> Serving:
        model = load_checked(settings)
        reader = open_reader(
            model.contract, settings, redis_url_of(settings), seconds=settings.online_redis_timeout_ms / 1000
        )
        plane = InferencePlane(model, reader, now_micros, metrics.note_stage)
        batcher = Batcher(plane, settings.online_batch_rows, settings.online_deadline_ms / 1000, metrics.note_batch)
        return Serving(batcher, request_shape(model.contract, settings.online_max_candidates))

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
