"""A whole Airflow on one machine: API server, scheduler, DAG processor and triggerer, started and stopped together."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from twinserve.errors import BadInput, PermanentError, TransientError
from twinserve.settings import Settings, child_environment
from twinserve_local.airflow_settings import USER, airflow_environment, password_file
from twinserve_local.checkout import Checkout
from twinserve_local.ports import HOST, is_free
from twinserve_local.sessions import Session, is_running, last_line, recorded_session, stop_recorded
from twinserve_local.telemetry import contained_environment

# two servers for the logs of tasks would listen on every address of the machine; the API server reads the files itself
COMPONENTS = {
    "api-server": ["api-server"],
    "dag-processor": ["dag-processor"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}
ESSENTIAL = ("api-server", "dag-processor", "scheduler")  # the triggerer serves tasks that defer; none of ours does
START_SECONDS = 120.0
STOP_SECONDS = 6.0  # a running task has three to stop in, and a moment to say that it did


@dataclass(frozen=True)
class Airflow:
    """A running Airflow: where it answers, who may log in, where it keeps its files."""

    url: str
    user: str
    password: str
    home: Path


@contextmanager
def running_airflow(
    settings: Settings, checkout: Checkout, port: int, parts: Sequence[str] = ESSENTIAL, *, scheduled: bool = True
) -> Iterator[tuple[Airflow, list[Session]]]:
    """Airflow on `port`, ready for work inside the block, gone after it.

    Args:
        settings: `home` is where Airflow lives, in the folder `airflow`.
        checkout: where its environment, DAGs and plug-ins are.
        port: on 127.0.0.1.
        parts: the components to start, of `COMPONENTS`.
        scheduled: whether DAGs that are switched on run by their schedules, or only when they are told to.

    Raises:
        BadInput: the port is taken, or another Airflow runs in the same home.
        TransientError: a component doesn't start; the message names its log.
    """
    home = settings.home / "airflow"
    with only_one(home):
        stop_airflow(home)  # what a run that was ended by SIGKILL has left
        if not is_free(port):
            raise BadInput(f"port {port} on {HOST} is in use", fix="Stop what uses it, or pass --port")
        environment = _environment(settings, checkout, port, scheduled=scheduled)
        password = _password(home)
        sessions: list[Session] = []
        try:
            _migrate(checkout, environment, home)
            for name in parts:
                command = [str(checkout.airflow), *COMPONENTS[name]]
                log = component_log(home, name)
                sessions.append(recorded_session(record_file(home), sessions, name, command, environment, log))
            airflow = Airflow(f"http://{HOST}:{port}", USER, password, home)
            _await_healthy(airflow, sessions)
            yield airflow, sessions
        finally:
            stop_airflow(home)


@contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Hold the lock of an AIRFLOW_HOME; it vanishes with its process, however that ends.

    Raises:
        BadInput: someone else holds it.
    """
    home.mkdir(parents=True, exist_ok=True)
    with (home / "in-use").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInput(
                f"Airflow already runs in {home}", fix="Stop it first (Ctrl-C there), or set another TWINSERVE_HOME"
            ) from None
        yield


def stop_airflow(home: Path) -> int:
    """Stop the scheduler and its tasks first, while the API server still takes down how they ended, then the rest.

    Returns:
        The number of components that were running.
    """
    return stop_recorded(record_file(home), STOP_SECONDS, "scheduler")


def first_stopped(sessions: list[Session]) -> Session | None:
    """A component that ended although nobody asked it to."""
    return next((session for session in sessions if not is_running(session)), None)


def stopped_early(session: Session, home: Path) -> TransientError:
    """The error for a component that ended by itself."""
    log = component_log(home, session.name)
    return TransientError(f"Airflow's {session.name} stopped: {last_line(log)}", fix=f"Look into {log}")


def _environment(settings: Settings, checkout: Checkout, port: int, *, scheduled: bool) -> dict[str, str]:
    home = settings.home
    airflow = airflow_environment(home / "airflow", checkout, port, scheduled=scheduled)
    return child_environment(settings, **contained_environment(home), **airflow)


def _password(home: Path) -> str:
    """The password of the login, made at the first start, readable by its owner only."""
    file = password_file(home)
    if not file.exists():
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as out:
            json.dump({USER: secrets.token_urlsafe(12)}, out)
    try:
        return str(json.loads(file.read_text())[USER])
    except (ValueError, KeyError, TypeError):
        raise BadInput(f"{file} holds no password of {USER}", fix="Delete the file; a new one is made") from None


def _migrate(checkout: Checkout, environment: Mapping[str, str], home: Path) -> None:
    log = component_log(home, "migrate")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        done = subprocess.run(
            [checkout.airflow, "db", "migrate"], env=dict(environment), check=False,
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    if done.returncode:
        raise PermanentError(f"Airflow can't prepare its database: {last_line(log)}", fix=f"Look into {log}")


def _await_healthy(airflow: Airflow, sessions: list[Session]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if stopped := first_stopped(sessions):
            raise stopped_early(stopped, airflow.home)
        if _is_healthy(airflow.url):
            return
        time.sleep(0.2)
    raise TransientError(
        f"Airflow did not start within {START_SECONDS:.0f} s",
        fix=f"Look into {component_log(airflow.home, 'scheduler').parent}",
    )


def _is_healthy(url: str) -> bool:
    try:
        answer = httpx.get(f"{url}/api/v2/monitor/health", timeout=5, trust_env=False)
        states = answer.raise_for_status().json()
    except (httpx.HTTPError, ValueError):
        return False
    return all(states[part]["status"] == "healthy" for part in ("scheduler", "dag_processor"))


def record_file(home: Path) -> Path:
    """Where the running components are written down."""
    return home / "running.json"


def component_log(home: Path, name: str) -> Path:
    """Where a component's output goes."""
    return home / "logs" / "components" / f"{name}.log"
