"""Whether there is a model to answer with, and if not, why; keeps trying until there is one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from model_serving.online.batcher import Batcher
from model_serving.online.refusal import Refusal
from model_serving.online.wire import Model, RequestShape
from twinserve.errors import TwinserveError

logger = logging.getLogger(__name__)
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0


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
    """Not ready until `keep_trying` has built what to serve with.

    Being ready means: a model is loaded and fits its features. A lost online store does not make the service
    unready: each of its requests is refused with a reason, which tells the caller more than a closed door would.

    Args:
        note: told after each try which model is loaded, None for none.
    """

    def __init__(self, note: Callable[[Model | None], None] = lambda _: None) -> None:
        self._note = note
        self.serving: Serving | None = None
        self.why = "the model is being loaded"
        self.retry_after = int(FIRST_PAUSE)
        self.draining = False
        self._tried_once = asyncio.Event()

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

    async def first_try(self, seconds: float) -> None:
        """Wait until the first attempt to load has ended, well or not, for `seconds` at most."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._tried_once.wait(), seconds)

    def give_up(self, why: str) -> None:
        """Nothing can be loaded with these settings."""
        self._explain(why)
        self._tried_once.set()

    async def keep_trying(self, build: Callable[[], Serving]) -> None:
        """Call `build` in a thread, again and again with growing pauses, until it succeeds."""
        pause = FIRST_PAUSE
        while not await self._tried(build):
            self.retry_after = int(pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _tried(self, build: Callable[[], Serving]) -> bool:
        try:
            self.serving = await asyncio.to_thread(build)
        except TwinserveError as error:
            self._explain(str(error))
        except Exception:
            logger.exception("loading the model failed")
            self._explain("loading the model failed unexpectedly; the service's log has the rest")
        else:
            model = self.serving.serves
            logger.info("ready: %s version %s", model.name, model.version)
        self._note(self.model)
        self._tried_once.set()
        return self.serving is not None

    def _explain(self, why: str) -> None:
        if why != self.why:
            logger.warning("not ready: %s", why)
        self.why = why
