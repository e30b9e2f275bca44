"""A disk that is full: a small file system of its own for one command, which needs no rights of an administrator."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SCRIPT = """\
size=$1 place=$2; shift 2
mount -t tmpfs -o "size=$size" tmpfs "$place" || exit 99
"$@"; code=$?
ls -A "$place"; exit $code
"""
NO_MOUNT = 99


@dataclass(frozen=True)
class Ended:
    """How the command ended, what it said on standard error, and the names that it left on the disk."""

    code: int
    said: str
    left: tuple[str, ...]


def on_small_disk(place: Path, size: str, command: Sequence[str], environment: Mapping[str, str]) -> Ended:
    """Run a command that sees a file system of `size` at `place`; nobody else sees it, and it is gone at the end."""
    place.mkdir(parents=True, exist_ok=True)
    alone = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", SCRIPT, "sh", size, str(place)]
    done = subprocess.run(
        [*alone, *command], env=dict(environment), input="\n", capture_output=True, text=True, check=False
    )
    if done.returncode == NO_MOUNT or "unshare:" in done.stderr:
        raise RuntimeError(f"this test needs user namespaces, which the machine does not allow: {done.stderr}")
    lines = [line for line in done.stdout.splitlines() if not line.startswith("{") and line != "ready"]
    return Ended(done.returncode, done.stderr, tuple(lines))
