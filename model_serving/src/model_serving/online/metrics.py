"""Prometheus metrics of the inference itself; BentoML adds its own of the HTTP server and serves them all."""

from __future__ import annotations

from collections import Counter as Tally

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from model_serving.online.wire import Answer, Model

PREFIX = "twinserve_inference"
SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
CANDIDATES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


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
        self._candidates = Histogram(
            f"{PREFIX}_candidates", "Distinct candidates of a request", buckets=CANDIDATES, registry=self.registry
        )
        self._seconds = Histogram(
            f"{PREFIX}_seconds", "Time from the request's headers to its answer", ["outcome"],
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self._read_seconds = Histogram(
            f"{PREFIX}_feature_read_seconds", "Time that reading the features of a request took, failed reads included",
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        # of several workers, the last one that said something: an unready one repeats itself, a dead one falls silent
        self._ready = Gauge(
            f"{PREFIX}_ready", "1 once a model is loaded, 0 while there is none",
            multiprocess_mode="mostrecent", registry=self.registry,
        )  # fmt: skip
        self._model = Gauge(
            f"{PREFIX}_model", "1 for each version that a worker has loaded since the start",
            ["model_name", "model_version"], multiprocess_mode="mostrecent", registry=self.registry,
        )  # fmt: skip

    def count(self, answer: Answer, seconds: float) -> None:
        """Count one answer."""
        outcome = answer.error.code if answer.error else "ok"
        name, version = (answer.model.name, answer.model.version) if answer.model else ("", "")
        self._answers.labels(outcome, name, version).inc()
        self._seconds.labels(outcome).observe(seconds)
        for reason, count in Tally(entry.reason for entry in answer.left_out).items():
            self._left_out.labels(reason).inc(count)

    def count_candidates(self, candidates: int) -> None:
        """Note how many distinct candidates a request had."""
        self._candidates.observe(candidates)

    def note_read(self, seconds: float) -> None:
        """Note how long the online store took for one request."""
        self._read_seconds.observe(seconds)

    def note_readiness(self, model: Model | None) -> None:
        """Say which version is loaded, or that none is."""
        self._ready.set(1 if model else 0)
        if model:
            self._model.labels(model.name, model.version).set(1)
