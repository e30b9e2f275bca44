"""Whether there is a model to answer with, and if not, why."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from pathlib import Path

from model_serving.online.inference.batcher import Batcher
from model_serving.online.inference.refusals import Refusal
from model_serving.online.inference.schemas import Model, RequestShape
from model_serving.online.process.load_state import Preparation
from twinserve.errors import TwinserveError

logger = logging.getLogger(__name__)
SOON_SECONDS, AGAIN_SECONDS, LONGEST_SECONDS = 0.05, 1.0, 30.0


@dataclass(frozen=True)
class Serving:
    """What a ready service answers with."""

    batcher: Batcher
    shape: RequestShape

    @cached_property
    def serves(self) -> Model:
        """The loaded version."""
        return self.batcher.plane.serves

    @cached_property
    def model(self) -> dict[str, str]:
        """The same, as it stands in an answer."""
        return self.serves.model_dump()


class Readiness:
    """Not ready until `follow` has built what to serve with.

    Being ready means: a model is loaded and fits its features. A lost online store does not make the service
    unready: each of its requests is refused with a reason, which tells the caller more than a closed door would.

    Args:
        note: told after each try which model is loaded, None for none.
    """

    def __init__(self, note: Callable[[Model | None], None] = lambda _: None) -> None:
        self._note = note
        self.serving: Serving | None = None
        self.why = "the model is being loaded"
        self.retry_after = 1
        self.draining = False
        self._tried_once = asyncio.Event()
        self._traced = ""

    def needed(self) -> Serving:
        """What to serve with.

        Raises:
            Refusal: `model_not_ready`, and why.
        """
        if self.serving:
            return self.serving
        raise Refusal("model_not_ready", self.why, retry_after=self.retry_after)

    @property
    def model(self) -> Model | None:
        """The loaded version, if there is one."""
        return self.serving.serves if self.serving else None

    def drain(self) -> None:
        """The service is about to stop: it takes no new callers, and goes on answering those that it has."""
        if not self.draining:
            logger.info("draining")
        self.draining = True

    def give_up(self, why: str) -> None:
        """There will be no further try; a model that is loaded goes on serving."""
        if not self.serving:
            self._explain(why)
        self._tried_once.set()

    async def first_try(self, seconds: float) -> None:
        """Wait until the first attempt to load has ended, well or not, for `seconds` at most."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._tried_once.wait(), seconds)

    async def follow(self, look: Callable[[], Preparation], build: Callable[[Path], Serving]) -> None:
        """Look how far the supervisor is, until it has a model and `build`, called in a thread, has loaded it."""
        pause = AGAIN_SECONDS
        while True:
            found = look()
            if found.state == "ready":
                if await self._tried(build, Path(found.folder)):
                    return
                self.retry_after = ceil(pause)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_SECONDS)  # what is damaged mostly stays so
                continue
            if found.state == "failed":
                self.retry_after = found.retry_after
                self._failed(found.why)
            await asyncio.sleep(SOON_SECONDS if found.state == "preparing" else AGAIN_SECONDS)

    async def _tried(self, build: Callable[[Path], Serving], folder: Path) -> bool:
        try:
            self.serving = await asyncio.to_thread(build, folder)
        except TwinserveError as error:
            self._failed(str(error))
        except Exception as error:
            self._trace(error)
            self._failed("loading the model failed unexpectedly; the service's log has the rest")
        else:
            model = self.serving.serves
            logger.info("ready: %s version %s", model.name, model.version)
            self._note(model)
            self._tried_once.set()
        return self.serving is not None

    def _trace(self, error: Exception) -> None:
        """Once for each error: tries that fail alike say nothing new."""
        if repr(error) != self._traced:
            self._traced = repr(error)
            logger.error("loading the model failed", exc_info=error)

    def _failed(self, why: str) -> None:
        self._explain(why)
        self._note(None)
        self._tried_once.set()

    def _explain(self, why: str) -> None:
        if why != self.why:
            logger.warning("not ready: %s", why)
        self.why = why
