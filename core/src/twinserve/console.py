"""The outer shell of every console script: logging, signals, the closing JSON line, the exit code."""

from __future__ import annotations

import json
import logging
import signal
import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, NoReturn

from twinserve.containment import containing_environment, keep_metrics_in_memory
from twinserve.errors import ExitCode, TwinserveError
from twinserve.feast_checks import check_when_called
from twinserve.logs import configure_logging
from twinserve.moved_home import take_over
from twinserve.settings import export, load_settings

logger = logging.getLogger(__name__)


class Stopped(BaseException):
    """Ctrl-C or SIGTERM: unwinds the stack, so that `finally` blocks run and drafts are removed."""

    def __init__(self, number: int) -> None:
        self.exit_code = 128 + number  # as a shell would report it
        super().__init__(signal.Signals(number).name)


def run_app(app: Callable[[], Any]) -> NoReturn:
    """Run a typer app, or a function; exit with an `ExitCode`, one line on standard error for each failure.

    Only an unexpected exception (a bug of ours) prints a stack trace.
    """
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    sys.exit(_exit_code(app))


def _exit_code(run: Callable[[], Any]) -> int:
    try:
        settings = load_settings()
        configure_logging(settings.log_level, settings.log_format)
        export(containing_environment(settings.home), over=False)
        keep_metrics_in_memory()
        check_when_called()
        take_over(settings)
        run()
    except TwinserveError as error:
        logger.debug("failed", exc_info=True)
        return _fail(f"{type(error).__name__}: {error}", error.exit_code)
    except SystemExit as leaving:  # click's own: 0, or 2 with a usage message
        return int(leaving.code or 0)
    except Stopped as stopped:
        return _fail(f"stopped by {stopped}", stopped.exit_code)
    except Exception:
        logger.exception("unexpected error: please report it with the lines below")
        return ExitCode.BUG
    return ExitCode.OK


def report(result: Mapping[str, Any]) -> None:
    """Print the command's result as one JSON line, the last one on standard output: Airflow's XCom reads it."""
    sys.stdout.flush()
    sys.stdout.write(json.dumps(result, default=str, allow_nan=False, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    raise Stopped(number)


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"{message}\n")
    return code
