"""A service in a session of its own: started, waited for, watched, and never left behind."""

from __future__ import annotations

import http.client
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.online.contestants import Contestant, prepare
from benchmarks.online.world import World
from benchmarks.process import CHECKOUT, RunFailed, complaint, end
from benchmarks.watch import Watch
from benchmarks.workspace import Workspace

READY_SECONDS = 120.0
POLL_SECONDS = 0.02
LOOK_SECONDS = 1.0
IDLE_SECONDS, IDLE_LOOK_SECONDS, IDLE_SHARE = 60.0, 0.2, 0.3


@dataclass
class Server:
    """One that is ready.

    Attributes:
        ready_seconds: from the start of its process to the first 200 of /readyz.
        ready_bytes: resident memory of its processes at that moment.
    """

    port: int
    ready_seconds: float
    ready_bytes: int
    watch: Watch = field(repr=False)
    pid: int = 0

    def processor_seconds(self) -> float:
        """That its processes have used so far."""
        total = 0.0
        with suppress(psutil.Error):
            root = psutil.Process(self.pid)
            for process in [root, *root.children(recursive=True)]:
                with suppress(psutil.Error):
                    times = process.cpu_times()
                    total += times.user + times.system
        return total

    def await_idle(self) -> None:
        """Wait until it is through with what was asked of it and given up."""
        deadline = time.monotonic() + IDLE_SECONDS
        while time.monotonic() < deadline:
            before = self.processor_seconds()
            time.sleep(IDLE_LOOK_SECONDS)
            if self.processor_seconds() - before < IDLE_SHARE * IDLE_LOOK_SECONDS:
                return


@contextmanager
def running(workspace: Workspace, world: World, who: Contestant) -> Iterator[Server]:
    """The service of a contestant in a world, ready inside the block.

    Raises:
        RunFailed: it ended, or was not ready in time; the last line that it wrote is in the message.
    """
    with workspace.run_folder() as folder:
        prepare(folder, world)
        port, log = free_port(), folder / "log"
        environment = {**workspace.environment, **world.environment, "PYTHONPATH": str(CHECKOUT), **who.environment}
        with log.open("wb") as said:
            began = time.monotonic()
            process = subprocess.Popen(
                who.command(port), cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                start_new_session=True,  # Ctrl-C is for us, and we end the whole session
            )  # fmt: skip
            try:
                _await_ready(process, port, began + READY_SECONDS, workspace, who, log)
                ready = time.monotonic() - began
                watch = Watch(process.pid, folder).look()
                with _looking(watch):
                    yield Server(port, ready, watch.tree_bytes, watch, process.pid)
            finally:
                end(process)


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(port: int, path: str) -> int:
    """The status of a page; 0 where nobody answers."""
    with suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        finally:
            connection.close()
    return 0


def _await_ready(
    process: subprocess.Popen[bytes], port: int, deadline: float, workspace: Workspace, who: Contestant, log: Path
) -> None:
    while get(port, "/readyz") != http.HTTPStatus.OK:
        if process.poll() is not None or time.monotonic() > deadline:
            workspace.failed_log.write_bytes(log.read_bytes())
            what = "ended" if process.poll() is not None else f"was not ready after {READY_SECONDS:.0f} s"
            raise RunFailed(f"{who.name} {what}: {complaint(log)}", fix=f"All of it is in {workspace.failed_log}")
        time.sleep(POLL_SECONDS)


@contextmanager
def _looking(watch: Watch) -> Iterator[None]:
    """Take samples of its memory meanwhile."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK_SECONDS):
            watch.look()

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        watch.look()
