"""A command of ours in a process of its own, which works for us and does not outlive us.

The child reads its standard input: lines are questions, its end means that we are gone. The JSON object on its
standard output is the outcome; a failure comes as one too, and is raised here as it was there. What libraries print
goes to standard error.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from typing import IO, Any, NoReturn

from twinserve import errors
from twinserve.command.console import report, run_app
from twinserve.errors import TransientError, TwinserveError

END_SECONDS = 5.0
OUTCOME_SECONDS = 600.0  # a large model by a slow network; whoever hangs is ended, and may be tried again


class ChildProcess:
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

    def outcome(self, seconds: float = OUTCOME_SECONDS) -> dict[str, Any]:
        """Wait for what it reports, and give it; it is gone then.

        Raises:
            TwinserveError: what it failed with.
            TransientError: it ended without a word: killed, or a bug that its log tells of; or it took too long.
        """
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self._process.kill()

        with _later(seconds, give_up):
            found = _reported(self._process.stdout) if self._process.stdout else None
        # not its exit code, which BentoML's supervisor may have taken: it waits for every child of the process
        self._process.kill()  # what it has left to do is to take itself apart, which costs half a second after MLflow
        self._process.wait()
        if found is None:
            how = f"gave no outcome within {seconds:g} s" if late.is_set() else "ended without an outcome"
            raise TransientError(f"{self._module} {how}", fix="The log has the rest")
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
        with _parents_ear() as tell:
            try:
                tell(work(Questions()))
            except TwinserveError as error:
                # once, to the parent: it decides how often a repeated failure is worth a line in the log
                tell({"failed": type(error).__name__, "what": error.what, "fix": error.fix})
                raise SystemExit(int(error.exit_code)) from error

    run_app(run)


@contextmanager
def _parents_ear() -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A block in which standard output is the parent's alone: all that is written there goes to standard error."""
    sys.stdout.flush()
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as parent:
        os.dup2(2, 1)

        def tell(outcome: Mapping[str, Any]) -> None:
            with redirect_stdout(parent):
                report(outcome)

        yield tell


@contextmanager
def _later(seconds: float, act: Callable[[], object]) -> Iterator[None]:
    """A block in which something is done if it takes longer."""
    timer = threading.Timer(seconds, act)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _reported(lines: IO[str]) -> dict[str, Any] | None:
    """The first JSON object, a line; None if there is none until the end. Python's start may print before it."""
    for line in lines:
        with suppress(ValueError):
            found = json.loads(line)
            if isinstance(found, dict):
                return found
    return None


def _failure(found: Mapping[str, Any]) -> TwinserveError:
    kind = getattr(errors, str(found["failed"]), TransientError)
    known = isinstance(kind, type) and issubclass(kind, TwinserveError)
    made: TwinserveError = (kind if known else TransientError)(str(found["what"]), fix=str(found["fix"]))
    return made
