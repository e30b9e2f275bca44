"""A command of ours in a process of its own, which works for us and does not outlive us.

The child reads its standard input: lines are questions, its end means that we are gone. Its one line on
standard output is the outcome, a JSON object; a failure comes as one too, and is raised here as it was there.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NoReturn

from twinserve import errors
from twinserve.console import report, run_app
from twinserve.errors import TransientError, TwinserveError

END_SECONDS = 5.0


class Child:
    """`python -m <module>`, started at once.

    Not in our session: Ctrl-C in the terminal is for us, and we end it.
    """

    def __init__(self, module: str, environment: Mapping[str, str] | None = None) -> None:
        self._module = module
        self._process = subprocess.Popen(
            [sys.executable, "-m", module], env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def tell(self, line: str) -> None:
        """Give it one line to read; nothing happens if it has ended."""
        if self._process.stdin:
            with suppress(OSError, ValueError):
                self._process.stdin.write(line + "\n")
                self._process.stdin.flush()

    def outcome(self) -> dict[str, Any]:
        """Wait for what it reports, and give it; it is gone then.

        Raises:
            TwinserveError: what it failed with.
            TransientError: it ended without a word: killed, or a bug that its log tells of.
        """
        # not its exit code, which BentoML's supervisor may have taken: it waits for every child of the process
        line = self._process.stdout.readline() if self._process.stdout else ""
        self._process.kill()  # what it has left to do is to take itself apart, which costs half a second after MLflow
        self._process.wait()
        try:
            found: dict[str, Any] = json.loads(line)
        except ValueError:
            raise TransientError(f"{self._module} ended without an outcome", fix="The log has the rest") from None
        if "failed" in found:
            raise _failure(found)
        return found

    def end(self) -> None:
        """Have it gone."""
        for end in (self._process.terminate, self._process.kill):
            end()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(END_SECONDS)
                break
        if self._process.stdin:
            with suppress(OSError):
                self._process.stdin.close()


class Questions:
    """What the parent asks, a line at a time; when the parent is gone, so are we."""

    def __init__(self) -> None:
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._listen, name="parent", daemon=True).start()

    def next(self) -> str:
        """The next line, waited for."""
        return self._lines.get()

    def _listen(self) -> None:
        # not through sys.stdin, whose lock would keep the process from ending
        with os.fdopen(os.dup(0), encoding="utf-8") as lines:
            for line in lines:
                self._lines.put(line.rstrip("\n"))
        os.kill(os.getpid(), signal.SIGTERM)


def run_for_parent(work: Callable[[Questions], Mapping[str, Any]]) -> NoReturn:
    """The other end: do the work, report its outcome, exit with an `ExitCode`."""

    def run() -> None:
        try:
            report(work(Questions()))
        except TwinserveError as error:
            # once, to the parent: it decides how often a repeated failure is worth a line in the log
            report({"failed": type(error).__name__, "what": error.what, "fix": error.fix})
            raise SystemExit(int(error.exit_code)) from error

    run_app(run)


def _failure(found: Mapping[str, Any]) -> TwinserveError:
    kind = getattr(errors, str(found["failed"]), TransientError)
    known = isinstance(kind, type) and issubclass(kind, TwinserveError)
    made: TwinserveError = (kind if known else TransientError)(str(found["what"]), fix=str(found["fix"]))
    return made
