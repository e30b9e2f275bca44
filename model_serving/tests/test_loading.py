"""A worker whose model can't be loaded: what it says, how often it tries, and what it tells the log."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import NoReturn

import pytest

from model_serving.online import application as application_module
from model_serving.online.application import OnlineApplication
from model_serving.online.inference.readiness import Readiness
from model_serving.online.process.load_state import Preparation
from twinserve.settings import Settings

READY = Preparation("ready", folder="/bundle")


def traces(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [str(record.exc_info[1]) for record in caplog.records if record.exc_info]


async def test_a_bundle_that_stays_damaged_is_traced_once_and_tried_less_and_less(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    real_sleep = asyncio.sleep

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await real_sleep(0)
        if len(pauses) == 8:
            following.cancel()

    monkeypatch.setattr(asyncio, "sleep", sleep)
    readiness, tries = Readiness(), iter(["out of memory"] * 4 + ["no space"] * 4)

    def build(_: Path) -> NoReturn:
        raise MemoryError(next(tries))

    following = asyncio.create_task(readiness.follow(lambda: READY, build))
    with pytest.raises(asyncio.CancelledError):
        await following
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]
    assert readiness.retry_after == 30
    assert traces(caplog) == ["out of memory", "no space"]
    assert readiness.why == "loading the model failed unexpectedly; the service's log has the rest"


async def test_an_import_that_breaks_is_told_and_the_worker_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> NoReturn:
        raise OSError("libscipy.so: cannot open shared object file")

    monkeypatch.setattr(application_module, "import_runtime", broken)
    monkeypatch.setattr(application_module, "_log_our_way", lambda _: None)  # pytest captures the log as it is
    application = OnlineApplication(Settings(home=tmp_path))
    caplog.set_level(logging.ERROR)
    async with asyncio.timeout(30), application.pages.router.lifespan_context(application.pages):
        assert "no model is being prepared" in application.readiness.why
    assert traces(caplog) == ["libscipy.so: cannot open shared object file"]


async def test_whatever_ends_the_loading_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Path) -> NoReturn:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(application_module, "read_preparation", broken)
    monkeypatch.setattr(application_module, "_log_our_way", lambda _: None)
    application = OnlineApplication(Settings(home=tmp_path))
    caplog.set_level(logging.ERROR)
    async with asyncio.timeout(30), application.pages.router.lifespan_context(application.pages):
        assert application.readiness.why == "loading the model ended unexpectedly; the service's log has the rest"
    assert traces(caplog) == ["a fault of ours"]
