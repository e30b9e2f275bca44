"""The pipelines' commands, quick enough for hundreds of runs in a test, and killed or stopped where it is asked for."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from disk_acts import RENAME

KILLED = -signal.SIGKILL
# a thread pool would not come along into a fork
SINGLE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


class Ended(Exception):
    """A command ended with another exit code than 0 or that of its kill."""


@dataclass(frozen=True)
class Said:
    """How a command ended, and all that it said."""

    code: int
    text: str

    @property
    def result(self) -> dict[str, Any]:
        """The closing JSON line."""
        found: dict[str, Any] = json.loads(self.text.splitlines()[-1])
        return found


class Steps:
    """Commands with one environment; a server of forks behind them, which `close` ends.

    Args:
        folder: for the commands' outputs; each `Steps` needs one of its own.
        scripts: the console scripts that it can run.
        within: words before the server's own, which start it elsewhere: in a name space.
    """

    def __init__(
        self,
        folder: Path,
        scripts: Sequence[str] = ("data-pipeline",),
        within: Sequence[str] = (),
        **environment: str,
    ) -> None:
        self.environment = {"TWINSERVE_LOG_FORMAT": "text", **environment}
        folder.mkdir(parents=True, exist_ok=True)
        self._output, self._acts = folder / "output.txt", folder / "acts.txt"
        server = Path(__file__).with_name("step_server.py")
        clean = {name: value for name, value in os.environ.items() if not name.startswith("TWINSERVE_")}
        self.server = subprocess.Popen(
            [*within, sys.executable, str(server), *scripts],
            env=clean | SINGLE, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *arguments: str, kill_at: int | None = None, **environment: str) -> dict[str, Any] | None:
        """A command of `data-pipeline`: the closing JSON line; None if it was killed.

        Args:
            kill_at: the rename before which it is killed; a command that makes fewer ends by itself.

        Raises:
            Ended: it failed.
        """
        self.begin("data-pipeline", *arguments, kinds=(RENAME,), kill_at=kill_at, environment=environment)
        said = self.end()
        if kill_at is not None and said.code == KILLED:
            return None
        if said.code:
            raise Ended(f"data-pipeline {' '.join(arguments)} → {said.code}\n{said.text[-3000:]}")
        return said.result

    def begin(
        self,
        script: str,
        *arguments: str,
        kinds: Sequence[str] = (),
        kill_at: int | None = None,
        stop_at: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start a command; the one before has ended."""
        asked = {
            "script": script,
            "arguments": arguments,
            "environment": self.environment | dict(environment or {}),
            "output": str(self._output),
            "kinds": kinds,
            "kill_at": kill_at,
            "stop_at": stop_at,
            "acts": str(self._acts) if kinds and kill_at is None else "",
        }
        self._tell(json.dumps(asked))

    def stopped(self) -> bool:
        """Wait until the command has come to the act where it stops; False if it ended before."""
        self._heard = self._hear()
        return self._heard == "stopped"

    def wait(self, seconds: float) -> bool:
        """Whether the command ends within so long."""
        assert self.server.stdout
        return bool(select.select([self.server.stdout], [], [], seconds)[0])

    def go_on(self) -> None:
        """From where it has stopped."""
        self._heard = ""
        self._tell("")

    _heard = ""

    def end(self) -> Said:
        """Wait for the end of the command."""
        heard, self._heard = self._heard or self._hear(), ""
        return Said(int(heard), self._output.read_text(encoding="utf-8"))

    def acts(self) -> list[str]:
        """Those that the last command came to, of the kinds asked for; it was not killed."""
        return self._acts.read_text(encoding="utf-8").splitlines()

    def close(self) -> None:
        """End the server."""
        assert self.server.stdin
        self.server.stdin.close()
        self.server.wait(timeout=30)

    def _tell(self, line: str) -> None:
        assert self.server.stdin
        self.server.stdin.write(line + "\n")
        self.server.stdin.flush()

    def _hear(self) -> str:
        assert self.server.stdout
        return self.server.stdout.readline().strip()
