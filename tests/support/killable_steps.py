"""The commands of `data-pipeline`, quick enough for hundreds of runs in a test, and killed where it is asked for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

KILLED = -signal.SIGKILL


class Ended(Exception):
    """A command ended with another exit code than 0 or that of its kill."""


class Steps:
    """Commands with one environment; a server of forks behind them, which `close` ends."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.environment = {"TWINSERVE_LOG_FORMAT": "text", **environment}
        self._output = folder / "output.txt"
        server = Path(__file__).with_name("step_server.py")
        clean = {name: value for name, value in os.environ.items() if not name.startswith("TWINSERVE_")}
        # a thread pool would not come along into a fork
        single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        self._server = subprocess.Popen(
            [sys.executable, str(server)], env=clean | single, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def run(self, *arguments: str, kill_at: int | None = None, **environment: str) -> dict[str, Any] | None:
        """The closing JSON line; None if the command was killed.

        Args:
            kill_at: the rename before which it is killed; a command that makes fewer ends by itself.

        Raises:
            Ended: it failed.
        """
        asked = {
            "arguments": arguments,
            "environment": self.environment | environment,
            "output": str(self._output),
            "kill_at": kill_at,
        }
        assert self._server.stdin
        assert self._server.stdout
        self._server.stdin.write(json.dumps(asked) + "\n")
        self._server.stdin.flush()
        code = int(self._server.stdout.readline())
        if kill_at is not None and code == KILLED:
            return None
        said = self._output.read_text(encoding="utf-8")
        if code:
            raise Ended(f"data-pipeline {' '.join(arguments)} → {code}\n{said[-3000:]}")
        found: dict[str, Any] = json.loads(said.splitlines()[-1])
        return found

    def close(self) -> None:
        """End the server."""
        assert self._server.stdin
        self._server.stdin.close()
        self._server.wait(timeout=30)
