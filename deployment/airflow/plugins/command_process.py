"""A process that is streamed line by line, and stopped with everything that it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO

# Airflow gives a task five seconds from SIGTERM to SIGKILL: the command must be gone before
GRACE_SECONDS = 3.0


class CommandProcess:
    """One command in a process group of its own.

    Args:
        words: program and arguments; no shell reads them.
        environment: all of the command's environment.
        tell: takes a format and a line, for each line that the command prints.
    """

    def __init__(self, words: Sequence[str], environment: Mapping[str, str], tell: Callable[..., None]) -> None:
        self._words, self._environment, self._tell = words, environment, tell
        self._process: subprocess.Popen[str] | None = None
        self._stopped = False
        self.last_output = ""
        self.last_error = ""

    def run(self) -> int:
        """Run it to its end; gives the exit code, negative for a signal.

        A `stop` that came before is not forgotten: a signal's handler returns to where it broke in.
        """
        process = subprocess.Popen(
            self._words, env=dict(self._environment), process_group=0, text=True, errors="replace",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self._process = process
        if self._stopped:
            self.stop()
        errors = threading.Thread(target=self._read_errors, args=(process.stderr,), daemon=True)
        errors.start()
        for line in _lines(process.stdout):
            self._tell("%s", line)
            self.last_output = line
        errors.join()
        return process.wait()

    def _read_errors(self, stream: IO[str] | None) -> None:
        for line in _lines(stream):
            self._tell("%s", line)
            self.last_error = line

    def stop(self, grace: float = GRACE_SECONDS) -> None:
        """SIGTERM to the group; SIGKILL to what is left of it after `grace` seconds; or so as soon as it begins."""
        self._stopped = True
        process = self._process
        if process is None or process.returncode is not None:
            return
        _signal_group(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + grace
        while _group_lives(process) and time.monotonic() < deadline:
            time.sleep(0.02)
        _signal_group(process.pid, signal.SIGKILL)


def _lines(stream: IO[str] | None) -> list[str] | filter[str]:
    return filter(None, (line.rstrip() for line in stream)) if stream else []


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _group_lives(leader: subprocess.Popen[str]) -> bool:
    leader.poll()  # reaps the leader: as a zombie it would count as a member
    try:
        os.killpg(leader.pid, 0)
    except ProcessLookupError:
        return False
    return True
