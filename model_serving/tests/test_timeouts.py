"""`within` is `asyncio.timeout` around an await, whether or not there is something to wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from model_serving.online.http.timeouts import within

SOON, NEVER = 0.01, 3600.0


class Source:
    """Gives `pieces` after as many pauses as are asked for; tells whether it was let go of."""

    def __init__(self, pauses: int = 0, *, fault: Exception | None = None) -> None:
        self.pauses, self.fault, self.ended = pauses, fault, False

    async def steps(self) -> str:
        try:
            for _ in range(self.pauses):
                await asyncio.sleep(0.001)
            if self.fault:
                raise self.fault
            return "all of it"
        finally:
            self.ended = True


async def hanging() -> None:
    await asyncio.get_running_loop().create_future()


async def running(action: Callable[[], Awaitable[object]]) -> asyncio.Task[object]:
    task = asyncio.ensure_future(action())
    await asyncio.sleep(SOON)
    return task


@pytest.mark.parametrize("pauses", [0, 1, 2, 5])
async def test_the_result_is_that_of_the_steps(pauses: int) -> None:
    source = Source(pauses)
    assert await within(NEVER, source.steps()) == "all of it"
    assert source.ended


@pytest.mark.parametrize("pauses", [0, 1, 3])
async def test_so_is_the_fault(pauses: int) -> None:
    with pytest.raises(LookupError, match="not there"):
        await within(NEVER, Source(pauses, fault=LookupError("not there")).steps())


async def test_time_that_is_over() -> None:
    source = Source(10_000)
    with pytest.raises(TimeoutError):
        await within(SOON, source.steps())
    assert source.ended


async def test_whoever_is_called_off_lets_go_of_the_steps() -> None:
    source = Source(10_000)
    task = await running(lambda: within(NEVER, source.steps()))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert source.ended


async def test_a_time_limit_around_it_stays_its_own() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(SOON):
            await within(NEVER, hanging())
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]
