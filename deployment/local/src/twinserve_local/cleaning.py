"""Stop what runs below a home, and remove what the system wrote there."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import psutil

from twinserve.embedded.redis import leased_redis
from twinserve.errors import BadInput
from twinserve.settings import Settings
from twinserve_local.airflow_server import only_one, stop_airflow
from twinserve_local.checkout import Checkout
from twinserve_local.online_service import STOP_SECONDS
from twinserve_local.sessions import stop_recorded

# all that any of our commands makes in a home; whatever else is there is somebody else's
OWN = (
    *("airflow", "benchmarks", "bentoml", "cache", "corrections", "demo", "deploy", "feast", "forgotten.json"),
    *("home.json", "locks", "materialize", "mlflow", "offline", "predictions", "quarantine", "read_times", "redis"),
    *("reports", "runs", "serving", "source", "watermarks"),
)
SERVERS = (("model-serving", "serve"), ("twinserve-local", "demo"))
COMMANDS = {"data-pipeline", "training-pipeline", "model-serving", "twinserve-local"}
LEAVE_SECONDS = 30.0


def clean(settings: Settings, checkout: Checkout) -> list[Path] | None:
    """Stop demo, service and the servers that they left behind; delete our folders in TWINSERVE_HOME.

    Returns:
        What is left in the home, as it isn't ours; none: the home is gone too; None: there was no home.

    Raises:
        BadInput: the home is a folder around something precious, or a command still works in it; nothing is deleted.
    """
    home = settings.home.resolve()
    for precious in (checkout.root, checkout.venv, Path.home(), Path.cwd()):
        if precious.resolve().is_relative_to(home):
            raise BadInput(f"TWINSERVE_HOME is {home}, which holds {precious}", fix="Remove the data yourself")
    if not home.is_dir():
        return None
    stop_all(settings, home)
    return remove_own(home)


def stop_all(settings: Settings, home: Path) -> None:
    """Stop what runs in `home`: servers politely, then what killed ones have left.

    Raises:
        BadInput: something else still uses it; names it.
    """
    end([process for process in users(home) if is_server(process)])
    if (home / "airflow").is_dir():
        with only_one(home / "airflow"):
            stop_airflow(home / "airflow")
    stop_recorded(home / "demo" / "running.json", STOP_SECONDS)
    if busy := users(home):
        raise BadInput(
            f"{home} is in use by {'; '.join(named(process) for process in busy)}", fix="Stop it, then clean again"
        )
    if (home / "redis").is_dir():
        with leased_redis(settings.model_copy(update={"redis_url": None})):
            pass  # whoever leaves last stops the server, also one that others have left


def remove_own(home: Path) -> list[Path]:
    """Delete our folders and files in `home`, and `home` itself if that leaves it empty; gives what is left."""
    for name in OWN:
        place = home / name
        if place.is_symlink() or place.is_file():
            place.unlink()  # what a link points to is not in the home
        elif place.is_dir():
            shutil.rmtree(place)
    left = sorted(home.iterdir())
    if not left:
        home.rmdir()
    return left


def users(home: Path) -> list[psutil.Process]:
    """The processes, other than this one and its ancestors, that are our commands on `home` or use its Redis."""
    ours = {process.pid for process in (psutil.Process(), *psutil.Process().parents())}
    lease = str(home / "redis" / "in-use")
    return [
        process
        for process in psutil.process_iter()
        if process.pid not in ours and (_command_home(process) == home or lease in _open_files(process))
    ]


def is_server(process: psutil.Process) -> bool:
    """Whether it is one that runs until it is told to stop: the service or a demo."""
    with suppress(psutil.Error):
        words = [Path(word).name for word in process.cmdline()]
        return any(pair in SERVERS for pair in pairwise(words))
    return False


def end(processes: Iterable[psutil.Process]) -> None:
    """Ask them to stop, and wait until they have, or for half a minute."""
    asked = list(processes)
    for process in asked:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    deadline = time.monotonic() + LEAVE_SECONDS
    while any(_lives(process) for process in asked) and time.monotonic() < deadline:
        time.sleep(0.05)


def named(process: psutil.Process) -> str:
    """A process in a message: id and the start of its command line."""
    with suppress(psutil.Error):
        words = process.cmdline()
        return f"process {process.pid} ({' '.join([Path(words[0]).name, *words[1:]])[:100]})"
    return f"process {process.pid}"


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def _command_home(process: psutil.Process) -> Path | None:
    """The home of a process that is one of our commands: an exported TWINSERVE_HOME reaches any program."""
    with suppress(psutil.Error, OSError):
        if COMMANDS & {Path(word).name for word in process.cmdline()[:2]}:
            told = process.environ().get("TWINSERVE_HOME") or ".twinserve"
            return (Path(process.cwd()) / Path(told).expanduser()).resolve()
    return None


def _open_files(process: psutil.Process) -> Iterator[str]:
    with suppress(psutil.Error, OSError):
        yield from (each.path for each in process.open_files())
