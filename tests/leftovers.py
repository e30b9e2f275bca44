"""Runs a command and fails if it leaves anything behind: a process, a port, a file outside its own folders.

    python tests/leftovers.py make demo

The command gets an empty HOME and an empty folder of temporary files: what is in them afterwards is its own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
OWN_FOLDERS = {".twinserve/", ".venv/", ".uv/", "deployment/airflow/.venv/"}
SYSTEM_TEMPORARY = Path("/tmp")  # noqa: S108 - for those who don't ask TMPDIR
# Python's own tempfile asks TMPDIR: a plain `tmp…` there is somebody else's
TOOLS = re.compile(r"uv-|pip-|airflow|pymp-|bento|mlflow|matplotlib|redis|joblib|prometheus", re.IGNORECASE)


def main(command: Sequence[str]) -> int:
    """Run the command; print what it left behind; its exit code, or 1 if there is anything."""
    with tempfile.TemporaryDirectory(prefix="leftovers-") as place:
        home, temporary = Path(place) / "home", Path(place) / "tmp"
        home.mkdir()
        temporary.mkdir()
        before = seen()
        code = subprocess.run(
            command, cwd=ROOT, env={**os.environ, "HOME": str(home), "TMPDIR": str(temporary)}, check=False
        ).returncode
        left = sorted(seen() - before) + [str(file) for folder in (home, temporary) for file in folder.rglob("*")]
    for each in left:
        sys.stdout.write(f"left behind: {each}\n")
    sys.stdout.write(f"{len(left)} things left behind by {' '.join(command)}\n")
    return code or bool(left)


def seen() -> set[str]:
    """What there is, one line each."""
    return {*processes(), *ports(), *files_of_the_checkout(), *temporary_files()}


def processes() -> Iterator[str]:
    """The processes that work below the checkout."""
    for process in psutil.process_iter(["pid", "cmdline"]):
        if belongs(process):
            yield f"process {process.info['pid']} {' '.join(process.info['cmdline'] or [])[:200]}"


def ports() -> Iterator[str]:
    """The ports on which such a process listens."""
    for connection in psutil.net_connections("inet"):
        port = getattr(connection.laddr, "port", None)
        listens = port and connection.status == psutil.CONN_LISTEN
        if listens and connection.pid and psutil.pid_exists(connection.pid) and belongs(psutil.Process(connection.pid)):
            yield f"port {port} of process {connection.pid}"


def belongs(process: psutil.Process) -> bool:
    """Whether a process, other than this one and its ancestors, works below the checkout."""
    try:
        ours = {parent.pid for parent in psutil.Process().parents()} | {os.getpid()}
        return process.pid not in ours and Path(process.cwd()).is_relative_to(ROOT)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def files_of_the_checkout() -> Iterator[str]:
    """Files that git does not track, ignored ones too, outside the folders that are meant for them."""
    status = subprocess.run(
        ["git", "status", "--porcelain", "--ignored"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for line in status.stdout.splitlines():
        if line[3:] not in OWN_FOLDERS:
            yield f"file in the checkout: {line}"


def temporary_files() -> Iterator[str]:
    """What looks like one of our tools' in the system's folder of temporary files."""
    for file in SYSTEM_TEMPORARY.iterdir():
        if TOOLS.match(file.name):
            yield f"temporary file {file}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
