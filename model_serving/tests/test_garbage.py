"""Python collects nothing of itself while it serves; cycles are found all the same."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from model_serving.online.process import garbage
from model_serving.online.process.garbage import collect_when_idle, no_automatic_collection


class Cycle:
    """Refers to itself, so that counting references can't free it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.mark.parametrize("idle", [True, False])
@pytest.mark.parametrize("age", [0, 1, 2])
async def test_cycles_of_any_age_are_found(idle: bool, age: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(garbage, "MOST_BUSY_LOOKS", 3)
    with no_automatic_collection():
        assert not gc.isenabled()
        held = Cycle()
        for generation in range(age):
            gc.collect(generation)  # what lives through it is of the next
        gone = asyncio.Event()
        weakref.finalize(held, gone.set)
        del held
        assert not gone.is_set()
        collecting = asyncio.ensure_future(collect_when_idle(lambda: idle))
        await asyncio.wait_for(gone.wait(), 10)
        collecting.cancel()
    assert gc.isenabled()
