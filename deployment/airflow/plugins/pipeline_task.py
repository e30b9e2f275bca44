"""The one way a DAG starts a pipeline command.

Where the command runs is one setting, `TWINSERVE_TASK_RUNTIME`: a runtime is an operator class that takes `command`
and `options`, and is named in `RUNTIMES`. There are `local`, a process on the machine of the Airflow worker, and
`docker`, a container of the pipeline's image.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, BaseOperator

from failure_notice import task_failed, task_succeeded
from feature_assets import Announcement

if TYPE_CHECKING:
    from airflow.sdk.definitions.mappedoperator import MappedOperator

RUNTIME_SETTING = "TWINSERVE_TASK_RUNTIME"
RETRY_SETTING = "TWINSERVE_TASK_RETRY_SECONDS"
PARTS_SETTING = "TWINSERVE_TASK_PARTS_AT_ONCE"


# each is imported when it is asked for: a laptop has no use for the Docker client
def _local() -> type[BaseOperator]:
    from local_command import LocalCommand

    return LocalCommand


def _docker() -> type[BaseOperator]:
    from docker_command import DockerCommand

    return DockerCommand


RUNTIMES: Mapping[str, Callable[[], type[BaseOperator]]] = {"local": _local, "docker": _docker}


def pipeline_task(
    task_id: str,
    command: Sequence[str],
    options: Mapping[str, str] | None = None,
    *,
    timeout: timedelta = timedelta(hours=1),
    retries: int = 2,
    retry_delay: timedelta | None = None,
    updates: Asset | None = None,
    parts: str = "",
) -> BaseOperator:
    """A task that runs one command of one pipeline's console script.

    Args:
        task_id: id of the task in its DAG.
        command: console script and subcommands, for example `["data-pipeline", "ingest"]`.
        options: command-line options and their values, which may be Jinja templates; one whose value renders to
            nothing is left out.
        timeout: after this long the command is stopped and the task fails.
        retries: how often a failure that may pass (exit code 75, a kill) is tried again; a permanent one never is.
        retry_delay: pause before the first retry, without it `TWINSERVE_TASK_RETRY_SECONDS` or 30 seconds; doubled for
            each further one.
        updates: the asset that the command updates; who waits for it is started if the result's `updated` counts
            anything.
        parts: the field of the result that counts the parts for `pipeline_task_per_part`.

    Raises:
        ValueError: `TWINSERVE_TASK_RUNTIME` names a runtime that does not exist, or `TWINSERVE_TASK_RETRY_SECONDS` is
            no number of seconds.
    """
    return _runtime()(
        task_id=task_id,
        command=command,
        options=options or {},
        parts=parts,
        on_success_callback=task_succeeded,
        **_attempts(timeout, retries, retry_delay),
        **_announcing(updates),
    )


def pipeline_task_per_part(
    task_id: str,
    command: Sequence[str],
    options: Mapping[str, str] | None = None,
    *,
    of: BaseOperator,
    timeout: timedelta = timedelta(hours=1),
    retries: int = 2,
    retry_delay: timedelta | None = None,
) -> MappedOperator:
    """One instance of a task for each part that `of` has found, several at once; arguments as for `pipeline_task`.

    How many at once says `TWINSERVE_TASK_PARTS_AT_ONCE`, or else 2. A DAG with such a task needs `run_succeeded` of
    `failure_notice` as its `on_success_callback`.

    Args:
        of: a `pipeline_task` with `parts`; of its field `shards` the instances get `--shard=0`, `--shard=1`, …
    """
    partial = _runtime().partial(
        task_id=task_id,
        command=command,
        options=options or {},
        max_active_tis_per_dag=_whole_number(PARTS_SETTING, "2", "tasks"),
        **_attempts(timeout, retries, retry_delay),
    )
    return partial.expand(part=of.output)


def _attempts(timeout: timedelta, retries: int, retry_delay: timedelta | None) -> dict[str, Any]:
    pause = timedelta(seconds=_whole_number(RETRY_SETTING, "30", "seconds"))
    return {
        "execution_timeout": timeout,
        "retries": retries,
        "retry_delay": pause if retry_delay is None else retry_delay,
        "retry_exponential_backoff": True,
        "on_failure_callback": task_failed,
    }


def _announcing(asset: Asset | None) -> dict[str, Any]:
    if asset is None:
        return {}
    announcement = Announcement(asset)
    return {"outlets": [announcement.outlet], "post_execute": announcement}


def _runtime() -> type[BaseOperator]:
    name = os.environ.get(RUNTIME_SETTING) or "local"
    if name not in RUNTIMES:
        raise ValueError(f"{RUNTIME_SETTING}={name!r} is not supported. Set one of: {', '.join(sorted(RUNTIMES))}")
    return RUNTIMES[name]()


def _whole_number(setting: str, default: str, unit: str) -> int:
    text = os.environ.get(setting) or default
    if not text.isdecimal():
        raise ValueError(f"{setting}={text!r} is not a whole number of {unit}")
    return int(text)
