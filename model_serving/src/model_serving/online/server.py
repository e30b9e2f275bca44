"""Running the service in the foreground: BentoML's supervisor and its workers, until a signal."""

from __future__ import annotations

import errno
import json
import logging
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from model_serving.online.process.folder_lock import one_service_in
from model_serving.online.process.load_state import service_folder
from model_serving.online.process.model_loader import Preparer
from model_serving.online.process.stop_signals import StopSignals
from model_serving.online.process.stopping import STOP_SECONDS, serve_until_stopped
from model_serving.online.process.supervisor import running_supervisor
from twinserve.errors import BadInput
from twinserve.settings import Settings, child_environment, export

logger = logging.getLogger(__name__)


def serve(settings: Settings, host: str, port: int) -> None:
    """Serve until SIGINT or SIGTERM, and through the drain time after it; the workers are gone when this returns.

    Raises:
        BadInput: no such host, or the port is taken, if only by a service that is about to listen.
        TransientError: the supervisor ended of itself.
    """
    settings = settings.model_copy(update={"online_port": port})
    folder = service_folder(settings)
    with one_service_in(folder):  # first: a service that has the folder may not listen yet
        address = free_address(host, port)
        # the model is prepared while Redis starts and BentoML is imported, here and then in the workers
        with _temporary_files(folder / "tmp"), Preparer(folder, own_environment(settings, folder)):
            _serve_from_redis(settings, folder, address, port)


def _serve_from_redis(settings: Settings, folder: Path, address: str, port: int) -> None:
    from twinserve.embedded.redis import leased_redis

    with leased_redis(settings) as redis_url:
        # BentoML reads its configuration from the environment when it is imported, and hands ours on to the workers
        export(server_environment(settings, redis_url, folder))
        _run(address, port, settings.online_drain_seconds)


def _run(address: str, port: int, drain_seconds: float) -> None:
    with StopSignals() as signals, running_supervisor(_service, address, port, STOP_SECONDS) as supervisor:
        signals.take_over()  # from BentoML's supervisor, which would stop without draining
        logger.info("listening on http://%s:%s; Ctrl-C stops", address, port)
        serve_until_stopped(supervisor, signals, drain_seconds)


def _service() -> Any:
    """A `bentoml.Service`, which the decorator has made of the class."""
    from model_serving.online.service import Inference

    return Inference


@contextmanager
def _temporary_files(folder: Path) -> Iterator[None]:
    """An empty folder for what the server's libraries write and forget."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def server_environment(settings: Settings, redis_url: str, folder: Path) -> dict[str, str]:
    """The environment of supervisor and workers: our settings, and BentoML kept to `folder` and silent.

    A model scores a request's few rows with one thread: handing them to several costs many times what it saves, and
    it is workers that share the processors.
    """
    return own_environment(settings, folder) | {
        "TWINSERVE_REDIS_URL": redis_url,
        "BENTOML_HOME": str(folder),
        "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_VERBOSITY": "-1",
        "BENTOML_CONFIG_OVERRIDES": json.dumps(bentoml_configuration(settings)),
        "OMP_NUM_THREADS": "1",
    }


def own_environment(settings: Settings, folder: Path) -> dict[str, str]:
    """The environment of every process of the service."""
    return child_environment(settings, TWINSERVE_ONLINE_PORT=str(settings.online_port), TMPDIR=str(folder / "tmp"))


def bentoml_configuration(settings: Settings) -> dict[str, object]:
    """BentoML's configuration, as far as it is not its default."""
    return {
        "services": {
            # under the name of our service: what stands beside it gives way to the decorator's own defaults
            "inference": {
                "workers": settings.online_workers,
                "logging": {"access": {"enabled": False}},
                "tracing": {"excluded_urls": ".*"},  # a span for each request costs more than most requests
            }
        }
    }


def free_address(host: str, port: int) -> str:
    """The host as an IP address, after a look whether the port is free on it."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise BadInput(f"no host {host!r}: {error.strerror}", fix="Correct --host or TWINSERVE_ONLINE_HOST") from None
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise BadInput(
                f"can't listen on {host}:{port}: {error.strerror}",
                fix="Correct --host or TWINSERVE_ONLINE_HOST"
                if error.errno == errno.EADDRNOTAVAIL
                else "Stop what listens there, or take another port with --port or TWINSERVE_ONLINE_PORT",
            ) from None
    return str(address[0])
