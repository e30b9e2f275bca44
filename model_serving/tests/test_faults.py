"""What goes wrong in answering, and none of the data plane's refusals is."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import AsyncIterator, Iterable

import httpx
import pytest
from serving_worlds import FRESH, World

from model_serving.online.composition import serving_builder
from model_serving.online.http.endpoint import InferenceEndpoint
from model_serving.online.inference.readiness import Readiness
from model_serving.online.telemetry.metrics import InferenceMetrics

pytestmark = pytest.mark.integration
ASKED = {"request_id": "r", "driver_ids": FRESH}


class FullDisk(InferenceMetrics):
    """Can't write down one of the things that it is told."""

    def __init__(self, when: str) -> None:
        super().__init__()
        self._when = when

    def note_parsed(self, seconds: float, candidates: int) -> None:
        self._fail("parsed")
        super().note_parsed(seconds, candidates)

    def count(
        self, outcome: str, seconds: float, left_out: Iterable[str] = (), passed: Iterable[tuple[str, str]] = ()
    ) -> None:
        self._fail("answered")
        super().count(outcome, seconds, left_out, passed)

    def _fail(self, when: str) -> None:
        if when == self._when:
            raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
async def readiness(rides: World) -> AsyncIterator[Readiness]:
    made = Readiness()
    settings = type(rides.settings)(**rides.settings.model_dump() | {"redis_url": rides.redis_url})
    made.serving = await asyncio.to_thread(serving_builder(settings, InferenceMetrics()))
    yield made
    await made.serving.batcher.close()


async def asked(readiness: Readiness, metrics: InferenceMetrics, times: int) -> list[httpx.Response]:
    endpoint = InferenceEndpoint(readiness, metrics, max_body_bytes=1000, most_at_once=8, note_access=lambda *_: None)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(endpoint), base_url="http://service") as http:
        return [await http.post("/inference", json=ASKED) for _ in range(times)]


async def test_a_fault_is_an_answer_that_is_counted_and_told_once(
    readiness: Readiness, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = FullDisk("parsed")
    for response in await asked(readiness, metrics, 3):
        assert (response.status_code, response.json()["error"]["code"]) == (500, "internal")
        assert response.json()["model"] == {"name": "ranker", "version": "1"}
        assert "space" not in response.text
    told = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(told) == 1
    assert told[0].exc_info
    assert "No space left on device" in told[0].getMessage()
    labels = {"outcome": "internal", "model_name": "", "model_version": ""}  # nobody has told these which is loaded
    assert metrics.registry.get_sample_value("twinserve_inference_answers_total", labels) == 3


async def test_what_can_not_be_written_down_is_answered(readiness: Readiness, caplog: pytest.LogCaptureFixture) -> None:
    for response in await asked(readiness, FullDisk("answered"), 3):
        assert response.status_code == 200
        assert response.json()["prediction"] in FRESH
    assert [record.getMessage().split(":")[0] for record in caplog.records if record.levelno == logging.ERROR] == [
        "an answer is missing in metrics or access log"
    ]
