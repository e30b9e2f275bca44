"""The composition root: every collaborator of the service is built here and passed on."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from model_serving.online.inference.batcher import Batcher
from model_serving.online.inference.data_plane import InferencePlane
from model_serving.online.inference.readiness import Serving
from model_serving.online.inference.schemas import request_shape
from model_serving.online.process.load_state import given_redis_url
from model_serving.online.telemetry.metrics import InferenceMetrics
from twinserve.features.online import open_reader
from twinserve.model.model_bundle import load_prepared
from twinserve.settings import Settings


def bundle_loader(settings: Settings, metrics: InferenceMetrics) -> Callable[[Path], Serving]:
    """A function that loads a bundle and builds what serves it, made for a thread. No MLflow, no Feast.

    It raises:
        StepMissing: no Redis is named.
        ContractMismatch: the bundle is damaged, or does not score as it should.
    """

    def load(bundle: Path) -> Serving:
        model = load_prepared(bundle, settings.scorer)
        reader = open_reader(
            model.contract, settings, given_redis_url(settings), seconds=settings.online_redis_timeout_ms / 1000
        )
        plane = InferencePlane(model, reader, now_micros, metrics.note_stage)
        batcher = Batcher(plane, settings.online_batch_rows, settings.online_deadline_ms / 1000, metrics.note_batch)
        return Serving(batcher, request_shape(model.contract, settings.online_max_candidates))

    return load


def serving_builder(settings: Settings, metrics: InferenceMetrics) -> Callable[[], Serving]:
    """A function that does in this process what a supervisor and its worker do in theirs; slow, made for a thread."""
    from model_serving.online.process.load_champion import prepare  # imports what a worker has no use for

    load = bundle_loader(settings, metrics)
    return lambda: load(prepare(settings))


def now_micros() -> int:
    """µs since 1970 UTC."""
    return time.time_ns() // 1000
