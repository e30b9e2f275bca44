"""Who waits, who is told, and what a kill leaves."""

from __future__ import annotations

import logging
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from twinserve.errors import TransientError
from twinserve.files.locks import alone, one_at_a_time

HOLDER = """
import sys, time
from pathlib import Path
from twinserve.files.locks import alone, one_at_a_time
how, file = sys.argv[1:3]
lock = one_at_a_time(Path(file)) if how == "waits" else alone(Path(file), "ingest of run 'a'", shared=how == "shared")
with lock:
    print("in", flush=True)
    time.sleep(600)
"""


@contextmanager
def held(how: str, file: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process in a block with `file`."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, how, file], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "in\n"
            yield process
        finally:
            process.kill()


def test_the_second_is_told_who_is_there(tmp_path: Path) -> None:
    file = tmp_path / "new" / "lock"
    with held("alone", file) as other:
        says = re.escape(f"clean of run 'a' can't begin: ingest of run 'a' (process {other.pid} on ")
        with pytest.raises(TransientError, match=says + r"\S+, since 2"), alone(file, "clean of run 'a'"):
            pass
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
    with alone(file, "clean of run 'a'"):
        pass
    assert file.read_text() == ""


def test_nobody_is_named_where_nobody_has_signed(tmp_path: Path) -> None:
    with (
        held("waits", tmp_path / "lock"),
        pytest.raises(TransientError, match="another process is at work"),
        alone(tmp_path / "lock", "clean"),
    ):
        pass


def test_those_who_share_are_in_together_and_one_alone_is_not(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    with (
        held("shared", file),
        alone(file, "shard 2", shared=True),
        pytest.raises(TransientError, match=r"shard 2 \(process"),
        alone(file, "all"),
    ):
        pass
    with alone(file, "all"), pytest.raises(TransientError, match=r"all \(process"), alone(file, "s", shared=True):
        pass


def test_an_error_inside_gives_the_lock_back(tmp_path: Path) -> None:
    def fail() -> None:
        with alone(tmp_path / "lock", "ingest"):
            raise RuntimeError

    for _ in range(2):
        with pytest.raises(RuntimeError):
            fail()


def test_a_full_disk_keeps_nobody_from_a_lock(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    (tmp_path / "lock").touch()
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with alone(tmp_path / "lock", "ingest"):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_wait_is_said_and_ends(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with (
        held("waits", tmp_path / "lock"),
        pytest.raises(TransientError, match=r"has held .*lock for \d seconds"),
        one_at_a_time(tmp_path / "lock", patience=1.5),
    ):
        pass
    assert [record.message for record in caplog.records] == [
        f"waiting for another process, which holds {tmp_path / 'lock'}"
    ]
    with one_at_a_time(tmp_path / "lock"):
        pass
