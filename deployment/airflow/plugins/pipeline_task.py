"""The one way a DAG starts a pipeline command.

Where the command runs is one setting, `TWINSERVE_TASK_RUNTIME`: a runtime is an operator class that takes `command`
and `options`, and is named in `RUNTIMES`. Today there is `local`: a process on the machine of the Airflow worker.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from airflow.sdk import BaseOperator
from local_command import LocalCommand

RUNTIME_SETTING = "TWINSERVE_TASK_RUNTIME"
RUNTIMES: Mapping[str, Callable[..., BaseOperator]] = {"local": LocalCommand}


def pipeline_task(
    task_id: str,
    command: Sequence[str],
    options: Mapping[str, str] | None = None,
    *,
    timeout: timedelta = timedelta(hours=1),
    retries: int = 2,
    retry_delay: timedelta = timedelta(seconds=30),
) -> BaseOperator:
    """A task that runs one command of one pipeline's console script.

    Args:
        task_id: id of the task in its DAG.
        command: console script and subcommands, for example `["data-pipeline", "ingest"]`.
        options: command-line options and their values, which may be Jinja templates; one whose value renders to
            nothing is left out.
        timeout: after this long the command is stopped and the task fails.
        retries: how often a failure that may pass (exit code 75, a kill) is tried again; a permanent one never is.
        retry_delay: pause before the first retry; doubled for each further one.

    Raises:
        ValueError: `TWINSERVE_TASK_RUNTIME` names a runtime that does not exist.
    """
    return _runtime()(
        task_id=task_id,
        command=command,
        options=options or {},
        execution_timeout=timeout,
        retries=retries,
        retry_delay=retry_delay,
        retry_exponential_backoff=True,
    )


def _runtime() -> Callable[..., BaseOperator]:
    name = os.environ.get(RUNTIME_SETTING) or "local"
    if name not in RUNTIMES:
        raise ValueError(f"{RUNTIME_SETTING}={name!r} is not supported. Set one of: {', '.join(sorted(RUNTIMES))}")
    return RUNTIMES[name]
