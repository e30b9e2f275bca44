"""Prometheus metrics of the inference itself; BentoML adds its own of the HTTP server and serves them all."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

PREFIX = "twinserve_inference"
SECONDS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
BATCH = (1, 2, 4, 8, 16, 32, 64)
STAGES = ("parse", "read", "score", "rank")
CANDIDATES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class Version(Protocol):
    """A registered version."""

    @property
    def name(self) -> str:
        """Of the model."""

    @property
    def version(self) -> str:
        """Its number."""


class InferenceMetrics:
    """Counts answers. With PROMETHEUS_MULTIPROC_DIR set, as BentoML sets it, the values of all workers add up."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._answers = Counter(
            f"{PREFIX}_answers", "Answers by outcome: ok or an error code, and by model version",
            ["outcome", "model_name", "model_version"], registry=self.registry,
        )  # fmt: skip
        self._left_out = Counter(
            f"{PREFIX}_left_out", "Candidates that could not be scored, by reason", ["reason"], registry=self.registry
        )
        self._passed = Counter(
            f"{PREFIX}_passed_as_nan",
            "Candidates scored with NaN for missing features of a view, by view and reason",
            ["view", "reason"], registry=self.registry,
        )  # fmt: skip
        self._candidates = Histogram(
            f"{PREFIX}_candidates", "Distinct candidates of a request", buckets=CANDIDATES, registry=self.registry
        )
        self._seconds = Histogram(
            f"{PREFIX}_seconds", "Time from the request's headers to its answer, by outcome and model version",
            ["outcome", "model_version"], buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self._stage_seconds = Histogram(
            f"{PREFIX}_stage_seconds", "Time of a stage: parse, of a request; read, score and rank, of a batch",
            ["stage"], buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self._batch = Histogram(
            f"{PREFIX}_batch_requests", "Requests that were read and scored together",
            buckets=BATCH, registry=self.registry,
        )  # fmt: skip
        self._lost_lines = Counter(
            f"{PREFIX}_lost_log_lines",
            "Log lines dropped since too many waited for a slow disk",
            registry=self.registry,
        )
        self._closed = Counter(
            f"{PREFIX}_connections_closed", "Connections closed without an answer, since their client was too slow",
            ["reason"], registry=self.registry,
        )  # fmt: skip
        self._starts = Counter(
            f"{PREFIX}_worker_starts", "Workers started since the service was; more than there are: some have died",
            registry=self.registry,
        )  # fmt: skip
        self._stages = {stage: self._stage_seconds.labels(stage) for stage in STAGES}
        self._model_labels = ("", "")
        self._outcomes: dict[str, tuple[Counter, Histogram]] = {}
        # of several workers, the last one that said something: an unready one repeats itself, a dead one falls silent
        self._ready = Gauge(
            f"{PREFIX}_ready", "1 once a model is loaded, 0 while there is none",
            multiprocess_mode="mostrecent", registry=self.registry,
        )  # fmt: skip
        self._model = Gauge(
            f"{PREFIX}_model", "1 for each version that a worker has loaded since the start",
            ["model_name", "model_version"], multiprocess_mode="mostrecent", registry=self.registry,
        )  # fmt: skip

    def note_start(self) -> None:
        """Note that this worker begins."""
        self._starts.inc()

    def note_lost_line(self) -> None:
        """Note a line of the log that could not be written in time."""
        self._lost_lines.inc()

    def count(
        self, outcome: str, seconds: float, left_out: Iterable[str] = (), passed: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Count one answer.

        Args:
            outcome: `ok` or an error code.
            left_out: the reason of each candidate without a score.
            passed: view and reason of what the model was given NaN for, of each candidate with a score.
        """
        answers, answer_seconds = self._outcomes.get(outcome) or self._outcome(outcome)
        answers.inc()
        answer_seconds.observe(seconds)
        if left_out:
            for reason, count in Tally(left_out).items():
                self._left_out.labels(reason).inc(count)
        if passed:
            for view_and_reason, count in Tally(passed).items():
                self._passed.labels(*view_and_reason).inc(count)

    def note_refused(self, code: str) -> None:
        """Count an answer to a request that was refused before it was one."""
        (self._outcomes.get(code) or self._outcome(code))[0].inc()

    def note_closed(self, reason: str) -> None:
        """Count a connection that was closed without an answer."""
        self._closed.labels(reason).inc()

    def note_parsed(self, seconds: float, candidates: int) -> None:
        """Note a request that was understood, and how many distinct candidates it had."""
        self._stages["parse"].observe(seconds)
        self._candidates.observe(candidates)

    def note_stage(self, stage: str, seconds: float) -> None:
        """Note how long a stage took for a batch of requests; reading, also where it failed."""
        self._stages[stage].observe(seconds)

    def note_batch(self, requests: int) -> None:
        """Note how many requests were read and scored together."""
        self._batch.observe(requests)

    def note_readiness(self, model: Version | None) -> None:
        """Say which version is loaded, or that none is."""
        self._ready.set(1 if model else 0)
        self._outcomes = {}
        self._model_labels = (model.name, model.version) if model else ("", "")
        if model:
            self._model.labels(*self._model_labels).set(1)

    def _outcome(self, outcome: str) -> tuple[Counter, Histogram]:
        """Found once for each outcome: looking up labels costs more than counting."""
        found = (
            self._answers.labels(outcome, *self._model_labels),
            self._seconds.labels(outcome, self._model_labels[1]),
        )
        self._outcomes[outcome] = found
        return found
