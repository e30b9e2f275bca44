"""The data plane: validated requests in, the best candidate of each out. It knows no HTTP."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from model_serving.online.inference.refusals import RETRY_AFTER, Refusal
from model_serving.online.inference.schemas import Id, InferenceRequest, Key, LeftOut, Model
from model_serving.online.telemetry.rate_limited_log import RateLimitedLog
from model_serving.passed_as_nan import Passed, PassedAsNaN
from model_serving.scoring import REASON_NAMES, SCORED, Scored, score_cells, score_complete
from twinserve.errors import ContractMismatch, TransientError
from twinserve.features.online_store.feature_reader import FeatureReader, OnlineRows, SomeKeysUnavailable
from twinserve.registry import ServedModel

logger = logging.getLogger(__name__)
Clock = Callable[[], int]
StageNote = Callable[[str, float], None]


@dataclass(slots=True)
class Choice:
    """The answer to one request.

    Attributes:
        left_out: (id, reason) of each candidate without a score, in the order of the request.
        passed_as_nan: (id, view → reason) of each one with a score that lacks features, in the order of the request.
        ranking: (id, score), best first; None where it was not asked for.
        seconds: stage → how long it took the batch that the request was part of.
    """

    request_id: str
    prediction: Id
    score: float
    left_out: list[tuple[Id, str]]
    passed_as_nan: list[tuple[Id, dict[str, str]]]
    ranking: list[tuple[Id, float]] | None
    seconds: Mapping[str, float]


class InferencePlane:
    """One loaded model over one online store.

    Args:
        reader: made from the model's own contract.
        clock: now, in µs since 1970 UTC: the moment at which a feature must still be fresh.
        note: told how long each stage took; `read` whether or not it succeeded.
    """

    def __init__(self, model: ServedModel, reader: FeatureReader, clock: Clock, note: StageNote) -> None:
        self._model, self._reader, self._clock, self._note = model, reader, clock, note
        self._outage = RateLimitedLog(logger)
        self._passed = PassedAsNaN(model.contract)
        self.serves = Model(name=model.name, version=model.version)
        self._sign = 1.0 if model.contract.output.best == "highest" else -1.0

    async def answer(self, requests: Sequence[InferenceRequest]) -> list[Choice | Refusal]:
        """Read and score the candidates of all requests together, then name the best of each.

        Returns:
            For each request its choice, or a refusal: `no_candidate` if none could be scored,
            `feature_store_unavailable`.

        Raises:
            SomeKeysUnavailable: of several requests; alone, those may be answered whose keys lie elsewhere.
        """
        began = time.perf_counter()
        try:
            rows = await self._reader.read(_joined(requests), self._clock())
        except TransientError as error:
            if isinstance(error, SomeKeysUnavailable) and len(requests) > 1:
                raise
            self._outage.say(logging.WARNING, "the feature store does not answer: %s", error)
            message = "the feature store does not answer"
            return [Refusal("feature_store_unavailable", message, retry_after=RETRY_AFTER) for _ in requests]
        finally:
            read = time.perf_counter()
            self._note("read", read - began)
        if rows.absent:
            self._tell_absent(rows.absent)
        scored = self._scored(rows)
        passed = None if rows.complete else self._passed.found(rows.status, scored.reasons)
        ranked = time.perf_counter()
        seconds = {"read": read - began, "score": ranked - read}
        answers = self._ranked(requests, scored, passed, seconds)
        seconds["rank"] = time.perf_counter() - ranked
        self._note("score", seconds["score"])
        self._note("rank", seconds["rank"])
        return answers

    async def close(self) -> None:
        """Let go of the online store."""
        await self._reader.close()

    def _tell_absent(self, features: Sequence[str]) -> None:
        error = ContractMismatch(
            f"rows are written without {', '.join(features)}",
            fix="Materialize, if the feature is new; else promote a version that does without it",
        )
        self._outage.say(logging.WARNING, "candidates are unknown, since the definitions have changed: %s", error)

    def _scored(self, rows: OnlineRows) -> Scored:
        if rows.complete:
            return score_complete(self._model, rows.values)
        return score_cells(self._model, rows.values, rows.status)

    def _ranked(
        self,
        requests: Sequence[InferenceRequest],
        scored: Scored,
        passed: Passed | None,
        seconds: Mapping[str, float],
    ) -> list[Choice | Refusal]:
        merits = scored.scores if self._sign > 0 else -scored.scores
        complete = not scored.reasons.any()
        answers: list[Choice | Refusal] = []
        first = 0
        for request in requests:
            part = slice(first, first := first + len(request.ids))
            left_out = [] if complete else _left_out(request.ids, scored.reasons[part])
            lacking = [] if passed is None else self._lacking(request.ids, passed[part])
            answers.append(_choice(request, scored.scores[part], merits[part], left_out, lacking, seconds))
        return answers

    def _lacking(self, ids: Sequence[Id], passed: Passed) -> list[tuple[Id, dict[str, str]]]:
        rows = np.flatnonzero(passed.any(axis=1)).tolist()
        return [(ids[row], self._passed.named(passed[row])) for row in rows]


def _joined(requests: Sequence[InferenceRequest]) -> Mapping[str, Sequence[Key]]:
    """The keys of all candidates of all requests, one after the other."""
    if len(requests) == 1:
        return requests[0].keys
    return {name: list(chain.from_iterable(request.keys[name] for request in requests)) for name in requests[0].keys}


def _choice(
    request: InferenceRequest,
    scores: NDArray[np.float64],
    merits: NDArray[np.float64],
    left_out: list[tuple[Id, str]],
    lacking: list[tuple[Id, dict[str, str]]],
    seconds: Mapping[str, float],
) -> Choice | Refusal:
    """The first of the request among equals."""
    if len(left_out) == len(scores):
        entries = tuple(LeftOut.model_validate({"id": key, "reason": reason}) for key, reason in left_out)
        return Refusal("no_candidate", "none of the candidates could be scored", left_out=entries)
    best = int(np.nanargmax(merits)) if left_out else int(merits.argmax())
    ranking = None if request.top_k is None else _ranking(request, scores, merits, len(scores) - len(left_out))
    return Choice(request.request_id, request.ids[best], float(scores[best]), left_out, lacking, ranking, seconds)


def _ranking(
    request: InferenceRequest, scores: NDArray[np.float64], merits: NDArray[np.float64], scored: int
) -> list[tuple[Id, float]]:
    order = np.argsort(-merits, kind="stable")[:scored][: request.top_k]  # NaN comes last
    return [(request.ids[place], score) for place, score in zip(order.tolist(), scores[order].tolist(), strict=True)]


def _left_out(ids: Sequence[Id], reasons: NDArray[np.int8]) -> list[tuple[Id, str]]:
    return [(key, REASON_NAMES[code]) for key, code in zip(ids, reasons.tolist(), strict=True) if code != SCORED]
