"""The supervisor's part in loading the model: `prepare` again and again until it succeeds, and the workers told."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from model_serving.online.process.child_process import ChildProcess
from model_serving.online.process.load_state import Preparation, write_preparation
from twinserve.errors import TwinserveError
from twinserve.files.private_folder import make_private
from twinserve.model.model_bundle import in_use

logger = logging.getLogger(__name__)
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
MODULE = "model_serving.online.process.load_champion"


class Preparer:
    """A block in which the champion is prepared, in a thread, by a process of its own.

    At its end that process is gone. Until then the bundle that it made is not removed, so that a worker which takes
    another one's place can load it, whether or not MLflow is there.

    Args:
        folder: of the service.
        environment: of the process.

    Raises:
        PermanentError: the folder is somebody else's.
    """

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder, self._environment = folder, environment
        self._child: ChildProcess | None = None
        self._changing = threading.Lock()  # whether there is a child, and whether there may be
        self._stopped = threading.Event()
        self._held = ExitStack()
        self._thread = threading.Thread(target=self._run, name="preparer", daemon=True)

    def __enter__(self) -> Self:
        make_private(self._folder)  # it says which bundle to load
        write_preparation(self._folder, Preparation("preparing"))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changing:
            self._stopped.set()
            if self._child:
                self._child.end()
        self._thread.join()
        self._held.close()

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._prepared(pause):
            if self._stopped.wait(pause):
                return
            pause = min(2 * pause, LONGEST_PAUSE)

    def _prepared(self, pause: float) -> bool:
        """Whether it is done: prepared, or stopped."""
        try:
            bundle = self._prepare()
            if bundle:
                self._held.enter_context(in_use(bundle))
                write_preparation(self._folder, Preparation("ready", folder=str(bundle)))
        except (TwinserveError, OSError) as error:
            return self._failed(str(error), pause)
        except Exception:
            logger.exception("preparing the model failed")
            return self._failed("preparing the model failed unexpectedly; the service's log has the rest", pause)
        return True

    def _failed(self, why: str, pause: float) -> bool:
        """Tell the workers; not of a child that failed since it was ended."""
        if not self._stopped.is_set():
            self._tell(Preparation("failed", why, int(pause)))
        return self._stopped.is_set()

    def _prepare(self) -> Path | None:
        with self._changing:
            if self._stopped.is_set():
                return None
            self._child = ChildProcess(MODULE, self._environment)
        return Path(self._child.outcome()["folder"])

    def _tell(self, preparation: Preparation) -> None:
        try:
            write_preparation(self._folder, preparation)
        except (TwinserveError, OSError) as error:  # a full disk, say: the next try may get through
            logger.warning("the workers can't be told of %s: %s", preparation.why, error)
