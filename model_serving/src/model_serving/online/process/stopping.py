"""How the service comes to its end: drained, stopped, and at a second signal at once."""

from __future__ import annotations

import logging
import threading
import time

from model_serving.online.process.stop_signals import StopSignals
from model_serving.online.process.supervisor import Supervisor
from twinserve.errors import TransientError

logger = logging.getLogger(__name__)
STOP_SECONDS = 10  # for requests under way
MARGIN_SECONDS = 5.0  # for a worker to leave after them
KILL_SECONDS = 5.0  # for the supervisor to see that the workers are dead
CHECK_SECONDS, REMIND_SECONDS = 0.5, 0.25


def serve_until_stopped(supervisor: Supervisor, signals: StopSignals, drain_seconds: float) -> None:
    """Wait for a signal, then drain and stop; a second signal ends the workers where they are.

    Raises:
        TransientError: the supervisor ended of itself, or hangs: its workers are dead then.
    """
    while not signals.arrived(within=CHECK_SECONDS):
        if not supervisor.is_running():
            raise TransientError("BentoML's supervisor has ended", fix="The lines above say why")
    if _told_again_while_draining(supervisor, signals, drain_seconds):
        supervisor.kill()
    _stop(supervisor, signals)


def _told_again_while_draining(supervisor: Supervisor, signals: StopSignals, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    if seconds:
        logger.info("draining for %g s: not ready, but answering", seconds)
    while (left := deadline - time.monotonic()) > 0 and supervisor.is_running():
        supervisor.drain()  # again and again: a worker may just have started
        if signals.arrived(within=min(left, REMIND_SECONDS)):
            return True
    return False


def _stop(supervisor: Supervisor, signals: StopSignals) -> None:
    # a daemon: if it hangs, the process can end without it
    stopping = threading.Thread(target=supervisor.stop, name="stopping", daemon=True)
    stopping.start()
    deadline = time.monotonic() + STOP_SECONDS + MARGIN_SECONDS
    while stopping.is_alive() and time.monotonic() < deadline and not signals.arrived(within=0.05):
        pass
    if stopping.is_alive():
        _end(supervisor, stopping)


def _end(supervisor: Supervisor, stopping: threading.Thread) -> None:
    logger.warning("ending the workers at once")
    deadline = time.monotonic() + KILL_SECONDS
    while stopping.is_alive():
        supervisor.kill()  # again and again: one may just have started
        if time.monotonic() > deadline:
            raise TransientError("BentoML's supervisor does not end", fix="The workers were killed: start it again")
        stopping.join(CHECK_SECONDS)
