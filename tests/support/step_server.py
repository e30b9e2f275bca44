"""Runs commands of `data-pipeline`, each in a process of its own that has the imports behind it.

Started as a program: each line on standard input is a JSON object with `arguments`, `environment`, `output` (a file for
both outputs) and `kill_at`: the number of the rename, of those that the command makes, before which the process is
killed by SIGKILL; null to let it end. The answer is one line, the exit code.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

IMPORTED = (
    "data_pipeline.cli",
    "data_pipeline.clean",
    "data_pipeline.ingest",
    "data_pipeline.validate",
    "feast.repo_operations",
    "twinserve.features.materialize",
)


def main() -> None:
    """Import what every step imports, then fork for each line."""
    for module in IMPORTED:
        importlib.import_module(module)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _run(**json.loads(line))
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _run(arguments: list[str], environment: dict[str, str], output: str, kill_at: int | None) -> None:
    from data_pipeline.cli import main as command

    os.environ.update(environment)
    target = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(target, stream)
    if kill_at is not None:
        os.replace = _killing(os.replace, kill_at)
    sys.argv = ["data-pipeline", *arguments]
    code = 70
    try:
        command()
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _killing(replace: Callable[..., None], at: int) -> Callable[..., None]:
    left = at

    def counted(*paths: Any, **options: Any) -> None:
        nonlocal left
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        replace(*paths, **options)

    return counted


if __name__ == "__main__":
    main()
