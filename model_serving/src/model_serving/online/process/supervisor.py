"""BentoML's supervisor in a thread: started, told to drain, stopped, or ended at once."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from model_serving.online.process.stop_signals import DRAIN

RETRY_SECONDS = 0.2


class Supervisor:
    """The supervisor and its workers.

    Args:
        server: what BentoML gives for a server that it has started with `threaded=True`.
    """

    def __init__(self, server: Any) -> None:
        self._arbiter = server.arbiter

    def is_running(self) -> bool:
        """Whether the supervisor's thread lives; it ends when it is stopped, or has failed."""
        return bool(self._arbiter._thread.is_alive())

    def drain(self) -> None:
        """Tell the workers to say that they are not ready, and to close connections after their next answer."""
        self._signal_workers(DRAIN)

    def stop(self) -> None:
        """Listen no more, let the workers finish what they have, and return when they are gone.

        The supervisor refuses to stop while it looks after its workers, and does not hear before its loop runs: it is
        told until it does. There is no loop before its thread has made one.
        """
        while self.is_running():
            if self._arbiter.loop is not None and not self._arbiter._stopping:
                self._arbiter.loop.add_callback(self._begin_to_stop)
            self._arbiter._thread.join(RETRY_SECONDS)

    def _begin_to_stop(self) -> object:
        """In the supervisor's loop, which awaits what this gives."""
        from bentoml._internal.utils.circus import Arbiter
        from circus.exc import ConflictError  # type: ignore[import-untyped]

        if self._arbiter._stopping:
            return None
        try:
            stopped: object = Arbiter.stop(self._arbiter)
        except ConflictError:
            return None
        # the workers close their copies of the socket; this one would go on queueing connections that nobody takes
        self._arbiter.sockets.close_all()
        return stopped

    def kill(self) -> None:
        """End the workers where they are."""
        self._signal_workers(signal.SIGKILL)

    def _signal_workers(self, number: signal.Signals) -> None:
        for watcher in list(self._arbiter.watchers):
            for pid in list(watcher.processes):
                with suppress(ProcessLookupError):
                    os.kill(pid, number)


@contextmanager
def running_supervisor(load: Callable[[], Any], host: str, port: int, stop_seconds: int) -> Iterator[Supervisor]:
    """BentoML's supervisor with the service's workers, in a thread.

    Args:
        load: imports the service, which takes a second.
        stop_seconds: how long a worker that is stopped waits for its requests.
    """
    for name in ("bentoml", "circus"):
        logging.getLogger(name).setLevel(logging.WARNING)
    from _bentoml_impl.server.serving import serve_http  # type: ignore[import-untyped]

    service = load()
    # inherited by the workers: one that is not yet up to its signals must not die of this one
    before = signal.signal(DRAIN, signal.SIG_IGN)
    try:
        service.inject_config()
        # not service.serve_http: it can't bound the time that a stop takes, and resets the log's format
        yield Supervisor(
            serve_http(service, host=host, port=port, timeout_graceful_shutdown=stop_seconds, threaded=True)
        )
    finally:
        signal.signal(DRAIN, before)
