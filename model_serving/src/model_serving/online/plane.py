"""The data plane: a validated request in, the best candidate out. It knows no HTTP."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import numpy as np

from model_serving.online.refusal import Refusal
from model_serving.online.wire import Answer, InferenceRequest, LeftOut, Model
from model_serving.scoring import REASON_NAMES, SCORED, Scored, score_rows
from twinserve.errors import TransientError
from twinserve.features.online import OnlineReader, OnlineRows
from twinserve.registry import ServedModel

RETRY_AFTER = 1
QUIET_SECONDS = 10.0
logger = logging.getLogger(__name__)
Clock = Callable[[], int]


class InferencePlane:
    """One loaded model over one online store.

    Args:
        reader: made from the model's own contract.
        clock: now, in µs since 1970 UTC: the moment at which a feature must still be fresh.
        read_seconds: how long the online store may take, all attempts together.
        note_read: told how many seconds each read took, whether or not it succeeded.
    """

    def __init__(
        self,
        model: ServedModel,
        reader: OnlineReader,
        clock: Clock,
        read_seconds: float,
        note_read: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._model, self._reader, self._clock, self._read_seconds = model, reader, clock, read_seconds
        self._note_read = note_read
        self._quiet_until = 0.0
        self.serves = Model(name=model.name, version=model.version)
        self._best = np.nanargmax if model.contract.output.best == "highest" else np.nanargmin

    async def answer(self, request: InferenceRequest) -> Answer:
        """Score the candidates and name the best; the first of the request among equals.

        Raises:
            Refusal: `no_candidate` if none could be scored, `feature_store_unavailable`.
        """
        asked = self._clock()
        rows = await self._read(request)
        moments = np.full(len(request.keys), asked, dtype=np.int64)
        scored = score_rows(self._model, rows.values, rows.event_times, moments)
        left_out = _left_out(request, scored)
        if len(left_out) == len(request.keys):
            raise Refusal("no_candidate", "none of the candidates could be scored", left_out=left_out)
        best = int(self._best(scored.scores))
        return Answer(
            request_id=request.request_id,
            prediction=request.keys[best],
            score=float(scored.scores[best]),
            error=None,
            model=self.serves,
            left_out=left_out,
        )

    async def _read(self, request: InferenceRequest) -> OnlineRows:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(self._read_seconds):
                return await self._reader.read(request.keys)
        except (TransientError, TimeoutError) as error:
            self._note_outage(error)
            raise Refusal(
                "feature_store_unavailable", "the feature store does not answer", retry_after=RETRY_AFTER
            ) from error
        finally:
            self._note_read(time.perf_counter() - began)

    def _note_outage(self, error: Exception) -> None:
        """One line in a while: every request of an outage fails for the same reason."""
        now = time.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + QUIET_SECONDS
            logger.warning("the feature store does not answer: %s", str(error) or type(error).__name__)


def _left_out(request: InferenceRequest, scored: Scored) -> tuple[LeftOut, ...]:
    pairs = zip(request.keys, scored.reasons.tolist(), strict=True)
    return tuple(
        LeftOut.model_validate({"id": key, "reason": REASON_NAMES[code]}) for key, code in pairs if code != SCORED
    )
