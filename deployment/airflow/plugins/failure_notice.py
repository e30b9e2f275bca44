"""Who is told that a task failed for good, and that it is well again: the log, and Alertmanager if there is one.

An alert is named by DAG and task, not by run: the next success of that task, in whichever run, resolves it.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    Request,
    UnknownHandler,
)

from command_line import without_passwords

if TYPE_CHECKING:
    from airflow.sdk import Context

URL_SETTING = "TWINSERVE_ALERTMANAGER_URL"
RUNBOOK = "docs/runbooks/dag-failed.md"
TIMEOUT_SECONDS = 3.0
SHOWN_CHARACTERS = 300
# Alertmanager resolves by itself what nobody repeats; a failure that nobody has mended in a week is known
LASTS = timedelta(days=7)

logger = logging.getLogger(__name__)


def task_failed(context: Context) -> None:
    """For `on_failure_callback` of a task: no try is left, or none would help."""
    _report(context, error_line(context.get("exception")))


def run_timed_out(context: Context) -> None:
    """For `on_failure_callback` of a DAG: a run that took too long ends without any task that failed."""
    if context.get("reason") == "timed_out":
        _report(context, "the run took longer than the time limit of its DAG")


def _report(context: Context, said: str) -> None:
    place, run = _place(context), str(context["run_id"])
    failed = f"{place['dag_id']}.{place['task_id']} failed"
    logger.error("%s in run %s: %s. See %s", failed, run, said, RUNBOOK)
    now = datetime.now(UTC)
    annotations = {"summary": f"{failed}: {said}", "run": run, "runbook": RUNBOOK}
    _post(alert(place, now, now + LASTS, annotations))


def task_succeeded(context: Context) -> None:
    """For `on_success_callback` of a task."""
    now = datetime.now(UTC)
    _post(alert(_place(context), now, now, {}))


def run_succeeded(context: Context) -> None:
    """For `on_success_callback` of a DAG with mapped tasks: only when all instances are well is the task.

    One instance that succeeds says nothing of the one before it that failed.
    """
    now = datetime.now(UTC)
    for task in context["dag"].tasks:
        if task.is_mapped:
            _post(alert({"dag_id": context["dag"].dag_id, "task_id": task.task_id}, now, now, {}))


def alert(place: Mapping[str, str], starts: datetime, ends: datetime, annotations: Mapping[str, str]) -> dict[str, Any]:
    """One alert in the form of Alertmanager's API, version 2; one that has ended is resolved."""
    return {
        "labels": {"alertname": "DagFailed", "severity": "critical", **place},
        "annotations": dict(annotations),
        "startsAt": starts.isoformat(),
        "endsAt": ends.isoformat(),
    }


def error_line(error: BaseException | str | None) -> str:
    """What is shown of an error: its first line, of bounded length, no login in it."""
    lines = str(error or "").strip().splitlines() or [type(error).__name__ if error else "no error is known"]
    return without_passwords(lines[0])[:SHOWN_CHARACTERS].rstrip(". ")


def _place(context: Context) -> dict[str, str]:
    instance = context.get("ti")  # of a run that ran into its limit: the task that it had got to, if any
    return {"dag_id": context["dag"].dag_id, "task_id": instance.task_id if instance else ""}


def _post(content: dict[str, Any]) -> None:
    """Hand an alert over, if `TWINSERVE_ALERTMANAGER_URL` is set; that it can't be delivered is only logged."""
    base = os.environ.get(URL_SETTING)
    if not base:
        return
    # neither files, nor a proxy of the environment, nor another place that the server names
    opener = OpenerDirector()
    for handler in (HTTPHandler, HTTPSHandler, HTTPErrorProcessor, HTTPDefaultErrorHandler, UnknownHandler):
        opener.add_handler(handler())
    try:
        request = Request(  # noqa: S310 - the opener knows http and https only
            f"{base.rstrip('/')}/api/v2/alerts",
            data=json.dumps([content]).encode(),
            headers={"Content-Type": "application/json"},
        )
        opener.open(request, timeout=TIMEOUT_SECONDS).close()
    except (OSError, ValueError, HTTPException) as error:
        logger.warning("the alert did not reach %s: %s", without_passwords(base), error)
