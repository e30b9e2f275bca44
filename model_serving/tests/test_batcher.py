"""Which requests are answered together, and that each gets its own answer, whatever becomes of the others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from small_model import request_of

from model_serving.online.inference import batcher as batcher_module
from model_serving.online.inference.batcher import Batcher, Waiting
from model_serving.online.inference.data_plane import Choice
from model_serving.online.inference.refusals import Refusal
from model_serving.online.inference.schemas import InferenceRequest
from twinserve.errors import PermanentError


def choice(request: InferenceRequest) -> Choice:
    return Choice(request.request_id, request.ids[0], 1.0, [], [], None, {})


class Plane:
    """Answers each request with its first candidate, once `open` is set; notes the batches."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.batches: list[list[str]] = []
        self.closed = False
        self.outcome: Callable[[Sequence[InferenceRequest]], list[Any]] = lambda requests: [*map(choice, requests)]

    async def answer(self, requests: Sequence[InferenceRequest]) -> list[Any]:
        self.batches.append([request.request_id for request in requests])
        await self.open.wait()
        return self.outcome(requests)

    async def close(self) -> None:
        self.closed = True


def batcher_of(plane: Plane, most_rows: int = 100, deadline: float = 60.0) -> tuple[Batcher, list[int]]:
    noted: list[int] = []
    return Batcher(plane, most_rows, deadline, noted.append), noted  # type: ignore[arg-type]


def requests_of(*sizes: int) -> list[InferenceRequest]:
    return [request_of(f"r{number}", [10 * number + n for n in range(size)]) for number, size in enumerate(sizes)]


async def all_answers(batcher: Batcher, requests: Sequence[InferenceRequest]) -> list[Any]:
    return await asyncio.gather(*map(batcher.answer, requests), return_exceptions=True)


@pytest.mark.parametrize(
    ("most", "sizes", "batches"),
    [
        (100, [1, 2, 3], [3]),
        (3, [1, 2, 3, 1], [2, 1, 1]),
        (3, [5, 1, 1, 1, 1], [1, 3, 1]),
        (3, [1, 5, 3], [1, 1, 1]),
        (1, [1, 1], [1, 1]),
        (0, [1, 2, 3], [1, 1, 1]),
    ],
)
async def test_requests_of_one_turn_are_answered_together_up_to_so_many_rows(
    most: int, sizes: list[int], batches: list[int]
) -> None:
    plane = Plane()
    batcher, noted = batcher_of(plane, most)
    requests = requests_of(*sizes)
    answers = await all_answers(batcher, requests)
    assert [(answer.request_id, answer.prediction) for answer in answers] == [
        (r.request_id, r.ids[0]) for r in requests
    ]
    assert [len(batch) for batch in plane.batches] == noted == batches
    assert [name for batch in plane.batches for name in batch] == [request.request_id for request in requests]


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize(("most", "together"), [(100, True), (0, False)])
async def test_while_a_batch_is_under_way_the_next_one_gathers(
    most: int, together: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batcher_module, "MAX_WAIT_SECONDS", 3600.0)
    plane = Plane()
    plane.open.clear()
    batcher, _ = batcher_of(plane, most)
    tasks = []
    for request in requests_of(1, 1, 1):
        tasks.append(asyncio.create_task(batcher.answer(request)))
        await turns()
    assert plane.batches == ([["r0"]] if together else [["r0"], ["r1"], ["r2"]])
    plane.open.set()
    await asyncio.wait_for(asyncio.gather(*tasks), 5)
    assert plane.batches == ([["r0"], ["r1", "r2"]] if together else [["r0"], ["r1"], ["r2"]])


async def test_nobody_waits_for_a_slow_batch_longer_than_a_moment() -> None:
    plane = Plane()
    plane.open.clear()
    batcher, _ = batcher_of(plane)
    first, second = requests_of(1, 1)
    tasks = [asyncio.create_task(batcher.answer(first))]
    await turns()
    tasks.append(asyncio.create_task(batcher.answer(second)))
    await turns()
    assert plane.batches == [["r0"]]
    await asyncio.sleep(10 * batcher_module.MAX_WAIT_SECONDS)
    assert plane.batches == [["r0"], ["r1"]]
    plane.open.set()
    await asyncio.gather(*tasks)
    third = request_of("r2", [1])
    assert (await asyncio.wait_for(batcher.answer(third), 5)).request_id == "r2"


async def test_after_all_has_ended_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batcher_module, "MAX_WAIT_SECONDS", 3600.0)
    plane = Plane()
    batcher, _ = batcher_of(plane)
    for request in requests_of(1, 1, 1):
        assert (await asyncio.wait_for(batcher.answer(request), 5)).request_id == request.request_id


async def test_a_refusal_of_one_is_its_own() -> None:
    plane = Plane()
    plane.outcome = lambda requests: [
        Refusal("no_candidate", "none") if request.request_id == "r1" else choice(request) for request in requests
    ]
    batcher, _ = batcher_of(plane)
    one, refused, other = await all_answers(batcher, requests_of(1, 1, 1))
    assert (one.request_id, other.request_id) == ("r0", "r2")
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.request_id) == ("no_candidate", "r1")


@pytest.mark.parametrize("fault", [RuntimeError("odd"), PermanentError("known", fix="do it")])
async def test_where_a_batch_fails_each_is_answered_alone(fault: Exception, caplog: pytest.LogCaptureFixture) -> None:
    def fails_with_r1(requests: Sequence[InferenceRequest]) -> list[Any]:
        if any(request.request_id == "r1" for request in requests):
            raise fault
        return [*map(choice, requests)]

    plane = Plane()
    plane.outcome = fails_with_r1
    batcher, noted = batcher_of(plane)
    one, failed, other = await all_answers(batcher, requests_of(1, 1, 1))
    assert plane.batches == [["r0", "r1", "r2"], ["r0"], ["r1"], ["r2"]]
    assert noted == [3]
    assert (one.request_id, other.request_id) == ("r0", "r2")
    assert isinstance(failed, Refusal)
    assert (failed.code, failed.request_id) == ("internal", "r1")
    assert failed.message == "a fault of ours; the service's log has the rest"
    (line,) = caplog.records
    assert line.levelno == logging.ERROR
    assert line.getMessage().startswith(f"answering /inference failed: {str(fault)[:5]}")
    assert bool(line.exc_info) == isinstance(fault, RuntimeError), "a fault that is known needs no trace"


async def test_a_fault_of_a_single_request_is_not_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    plane = Plane()
    plane.outcome = lambda _: list[Any]()[0]
    batcher, _ = batcher_of(plane)
    (failed,) = await all_answers(batcher, requests_of(1))
    assert (failed.code, failed.request_id) == ("internal", "r0")
    assert plane.batches == [["r0"]]
    assert "answering /inference failed" in caplog.text


async def test_nobody_gets_what_is_anothers(caplog: pytest.LogCaptureFixture) -> None:
    """A batch of too few answers is none; alone, each is answered."""
    plane = Plane()
    plane.outcome = lambda requests: [choice(requests[-1])]
    batcher, _ = batcher_of(plane)
    assert [answer.request_id for answer in await all_answers(batcher, requests_of(1, 1))] == ["r0", "r1"]
    plane.outcome = lambda _: []
    (failed,) = await all_answers(batcher, requests_of(1))
    assert failed.code == "internal"
    assert "0 answers to 1 requests" in caplog.text


async def test_the_time_is_over_after_the_deadline() -> None:
    plane = Plane()
    plane.open.clear()
    batcher, _ = batcher_of(plane, deadline=0.05)
    loop = asyncio.get_running_loop()
    began = loop.time()
    answers = await asyncio.wait_for(all_answers(batcher, requests_of(1, 1)), 5)
    assert 0.04 < loop.time() - began < 2
    for number, refusal in enumerate(answers):
        assert isinstance(refusal, Refusal)
        assert (refusal.code, refusal.request_id) == ("deadline_exceeded", f"r{number}")
        assert refusal.message == "the request could not be answered within 0.05 s"
        assert refusal.retry_after == 1


async def test_a_caller_who_has_gone_is_passed_over() -> None:
    plane = Plane()
    plane.open.clear()
    batcher, _ = batcher_of(plane)
    gone, stays = (asyncio.create_task(batcher.answer(request)) for request in requests_of(1, 1))
    await turns()
    gone.cancel()
    await turns()
    plane.open.set()
    assert (await asyncio.wait_for(stays, 5)).request_id == "r1"


async def test_who_has_gone_before_the_batch_begins_is_not_asked_for() -> None:
    plane = Plane()
    batcher, _ = batcher_of(plane)
    gone, stays = (asyncio.create_task(batcher.answer(request)) for request in requests_of(1, 1))
    asyncio.get_running_loop().call_soon(gone.cancel)
    await asyncio.sleep(0)
    assert (await asyncio.wait_for(stays, 5)).request_id == "r1"
    assert plane.batches in ([["r1"]], [["r0", "r1"]])


async def test_closing_waits_for_what_is_under_way() -> None:
    plane = Plane()
    plane.open.clear()
    batcher, _ = batcher_of(plane)
    task = asyncio.create_task(batcher.answer(request_of("r", [1])))
    closing = asyncio.create_task(batcher.close())  # when the batch has yet to begin
    await turns(10)
    assert not plane.closed
    assert plane.batches == [["r"]]
    plane.open.set()
    await asyncio.wait_for(closing, 5)
    assert task.done() or (await task).request_id == "r"
    assert plane.closed


async def test_what_gathers_behind_a_batch_is_answered_before_closing() -> None:
    plane = Plane()
    plane.open.clear()
    batcher, _ = batcher_of(plane)
    tasks = []
    for request in requests_of(1, 1):
        tasks.append(asyncio.create_task(batcher.answer(request)))
        await turns()
    closing = asyncio.create_task(batcher.close())
    plane.open.set()
    await asyncio.wait_for(closing, 5)
    assert [answer.request_id for answer in await asyncio.gather(*tasks)] == ["r0", "r1"]


async def test_whoever_is_left_without_an_answer_is_refused() -> None:
    loop = asyncio.get_running_loop()
    waiting = [Waiting(request, loop.create_future(), 0.0) for request in requests_of(1, 1)]
    waiting[0].future.set_result(choice(waiting[0].request))
    batcher_module._give_up(waiting)
    assert (await waiting[0].future).request_id == "r0"
    with pytest.raises(Refusal, match="a fault of ours") as refused:
        await waiting[1].future
    assert (refused.value.code, refused.value.request_id) == ("internal", "r1")
