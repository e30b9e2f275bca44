"""Whole or not at all: after an error, a kill, on a full disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from twinserve.errors import TransientError
from twinserve.files.atomic import atomic_file, write_atomically

SLOW_WRITER = """
import sys, time
from pathlib import Path
from twinserve.files.atomic import atomic_file
with atomic_file(Path(sys.argv[1])) as draft:
    draft.write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


def test_it_replaces(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file.txt"
    write_atomically(target, "one")
    write_atomically(target, "zwei ✓")
    assert target.read_text(encoding="utf-8") == "zwei ✓"
    assert [p.name for p in target.parent.iterdir()] == ["file.txt"]


def test_the_umask_holds(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write_atomically(tmp_path / "file", "secret")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    write_atomically(target, "old")

    def fail_half_way() -> None:
        with atomic_file(target) as draft:
            draft.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]


def test_a_kill_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    write_atomically(target, "old")
    writer = subprocess.Popen([sys.executable, "-c", SLOW_WRITER, str(target)], stdout=subprocess.PIPE)
    assert writer.stdout
    writer.stdout.readline()
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    assert target.read_text() == "old"
    write_atomically(target, "new")
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"], "the next write clears the draft away"


def test_a_full_disk_is_transient(tmp_path: Path) -> None:
    with (
        pytest.raises(TransientError, match="no space left to write"),
        atomic_file(tmp_path / "file") as draft,
    ):
        draft.unlink()
        draft.symlink_to("/dev/full")
        draft.write_text("x" * 100_000)
