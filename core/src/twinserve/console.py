"""The outer shell of every console script: logging, signals, the closing JSON line, the exit code."""

from __future__ import annotations

import json
import logging
import signal
import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, NoReturn

import typer

from twinserve.errors import ExitCode, TwinserveError
from twinserve.logs import configure_logging
from twinserve.settings import load_settings

logger = logging.getLogger(__name__)


class Terminated(BaseException):
    """SIGTERM: unwinds the stack, so that `finally` blocks run and drafts are removed."""


def run_app(app: typer.Typer) -> NoReturn:
    """Run a typer app; exit with an `ExitCode`, one line on standard error for each failure.

    Only an unexpected exception (a bug of ours) prints a stack trace.
    """
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(_exit_code(lambda: app(standalone_mode=False)))


def _exit_code(run: Callable[[], Any]) -> int:  # noqa: PLR0911 - one line per way to end
    import click

    try:
        settings = load_settings()
        configure_logging(settings.log_level, settings.log_format)
        outcome = run()
    except TwinserveError as error:
        logger.debug("failed", exc_info=True)
        return _fail(f"{type(error).__name__}: {error}", error.exit_code)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.ClickException as error:
        error.show()
        return ExitCode.USAGE
    except (KeyboardInterrupt, click.Abort):
        return _fail("interrupted", ExitCode.INTERRUPTED)
    except Terminated:
        return _fail("terminated", ExitCode.TERMINATED)
    except Exception:
        logger.exception("unexpected error: please report it with the lines below")
        return ExitCode.BUG
    return outcome if isinstance(outcome, int) else ExitCode.OK


def report(result: Mapping[str, Any]) -> None:
    """Print the command's result as one JSON line, the last one on standard output: Airflow's XCom reads it."""
    sys.stdout.flush()
    sys.stdout.write(json.dumps(result, default=str, allow_nan=False, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise Terminated


def _fail(message: str, code: ExitCode) -> ExitCode:
    sys.stderr.write(f"{message}\n")
    return code
