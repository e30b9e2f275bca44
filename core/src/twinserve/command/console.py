"""The outer shell of every console script: logging, signals, the closing JSON line, the exit code."""

from __future__ import annotations

import json
import logging
import signal
import sys
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, NoReturn

import typer
from typer.main import get_command

from twinserve.command.stop import Stopped, Stopping
from twinserve.errors import ExitCode, TwinserveError

logger = logging.getLogger(__name__)


def run_app(app: Callable[[], Any]) -> NoReturn:
    """Run a typer app, or a function; exit with an `ExitCode`, one line on standard error for each failure.

    Only an unexpected exception (a bug of ours) prints a stack trace.
    """
    stopping = Stopping()
    signal.signal(signal.SIGTERM, stopping)
    signal.signal(signal.SIGINT, stopping)
    sys.exit(_exit_code(app, stopping))


def _exit_code(run: Callable[[], Any], stopping: Stopping) -> int:
    try:
        code = _ended(run)
    except Stopped as stopped:
        return _fail(f"stopped by {stopped}", stopped.exit_code)
    finally:
        stopping.end()
    if stopping.stopped:  # and somebody has swallowed it, just before the end
        return _fail(f"stopped by {stopping.stopped}", stopping.stopped.exit_code)
    return code


def _ended(run: Callable[[], Any]) -> int:
    try:
        _prepared(run)()
    except TwinserveError as error:
        logger.debug("failed", exc_info=True)
        return _fail(f"{type(error).__name__}: {error}", error.exit_code)
    except SystemExit as leaving:  # click's own: 0, or 2 with a usage message
        return int(leaving.code or 0)
    except Exception:
        logger.exception("unexpected error: please report it with the lines below")
        return ExitCode.BUG
    return ExitCode.OK


def _prepared(app: Callable[[], Any]) -> Callable[[], Any]:
    """The app, whose commands begin with `_prepare`: help, and an option that is wrong, wait for nothing."""
    if not isinstance(app, typer.Typer):
        return _after_preparing(app)
    root = get_command(app)
    waiting: list[Any] = [root]
    while waiting:
        command = waiting.pop()
        if below := getattr(command, "commands", None):
            waiting += below.values()
        else:
            command.callback = _after_preparing(command.callback)
    return root


def _after_preparing(run: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(run)
    def prepared(*arguments: Any, **named: Any) -> Any:
        _prepare()
        return run(*arguments, **named)

    return prepared


def _prepare() -> None:
    """Make the process ready for the work of a command."""
    from twinserve.command.containment import containing_environment, keep_metrics_in_memory
    from twinserve.command.feast_checks import check_when_called
    from twinserve.command.late_imports import put_off_imports
    from twinserve.command.logs import configure_logging
    from twinserve.command.moved_home import take_over
    from twinserve.settings import export, load_settings

    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    export(containing_environment(settings.home), over=False)
    keep_metrics_in_memory()
    check_when_called()
    put_off_imports()
    take_over(settings)


def report(result: Mapping[str, Any]) -> None:
    """Print the command's result as one JSON line, the last one on standard output: Airflow's XCom reads it."""
    sys.stdout.flush()
    sys.stdout.write(json.dumps(result, default=str, allow_nan=False, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"{message}\n")
    return code
