"""A time limit that costs nothing where there is nothing to wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from types import coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")
Steps = Coroutine[Any, Any, Result]


async def within(seconds: float, steps: Steps[Result]) -> Result:
    """What `async with asyncio.timeout(seconds)` around `await steps` gives; a timer is set only if it has to wait.

    Raises:
        TimeoutError: the time is over.
    """
    try:
        pause = steps.send(None)
    except StopIteration as done:
        result: Result = done.value
        return result
    async with asyncio.timeout(seconds):
        return await _resumed(steps, pause)


@coroutine
def _resumed(steps: Steps[Result], pause: object) -> Generator[Any, Any, Result]:
    """What `await steps` gives, of steps that have come to their first pause."""
    try:
        yield pause
    except BaseException:
        steps.close()
        raise
    result: Result = yield from steps
    return result
