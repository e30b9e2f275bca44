"""Prometheus metrics of the inference itself; BentoML adds its own of the HTTP server and serves them all."""

from __future__ import annotations

from collections import Counter as Tally

from prometheus_client import CollectorRegistry, Counter, Histogram

from model_serving.online.wire import Answer

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
