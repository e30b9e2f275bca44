"""Started programs are stopped with all that they started, also by the next run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from twinserve_local.sessions import (
    Session,
    is_running,
    last_line,
    recorded_session,
    start_session,
    stop_recorded,
    stop_sessions,
)

FAMILY = "sleep 600 & (trap '' TERM; sleep 600; sleep 600) & setsid -f true; echo ready; wait"
GROUP_OF_ITS_OWN = f"{sys.executable} -c 'import os,time; os.setpgid(0, 0); time.sleep(600)' & echo ready; wait"


def start(tmp_path: Path, shell: str) -> Session:
    log = tmp_path / "log"
    session = start_session("family", ["sh", "-c", shell], os.environ, log)
    while "ready" not in log.read_text():
        time.sleep(0.01)
    return session


def members(session: Session) -> list[int]:
    return [pid for pid in psutil.pids() if in_session(pid, session.leader)]


def in_session(pid: int, session: int) -> bool:
    try:
        return os.getsid(pid) == session and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False


@pytest.mark.parametrize("shell", [FAMILY, GROUP_OF_ITS_OWN])
def test_descendants_go_too(tmp_path: Path, shell: str) -> None:
    session = start(tmp_path, shell)
    assert len(members(session)) > 1
    stop_sessions([session], grace=0.3)
    assert members(session) == []
    assert not is_running(session)


def test_descendants_go_when_their_parent_is_gone_already(tmp_path: Path) -> None:
    session = start(tmp_path, "sleep 600 & echo ready; exit 0")
    while is_running(session):
        time.sleep(0.01)
    assert len(members(session)) == 1
    stop_sessions([session], grace=0.3)
    assert members(session) == []


def test_someone_elses_process_with_the_same_number_is_left_alone(tmp_path: Path) -> None:
    theirs = start(tmp_path, "sleep 600 & echo ready; wait")
    stop_sessions([Session("ours", theirs.leader, started=theirs.started - 1000)], grace=0.3)
    assert is_running(theirs)
    stop_sessions([theirs], grace=0.3)


def test_the_next_run_stops_what_a_killed_one_left(tmp_path: Path) -> None:
    record = tmp_path / "running.json"
    code = (
        "import os, pathlib\n"
        "from twinserve_local.sessions import recorded_session\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        "recorded_session(folder / 'running.json', [], 'sleep', ['sleep', '600'], os.environ, folder / 'log')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert stop_recorded(record, 1.0) == 1
    assert not record.exists()
    assert stop_recorded(record, 1.0) == 0


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"a": 1}', '[{"name": "x"}]'])
def test_a_damaged_record_is_no_obstacle(tmp_path: Path, content: str) -> None:
    record = tmp_path / "running.json"
    record.write_text(content)
    assert stop_recorded(record, 1.0) == 0


def test_several_are_recorded_together(tmp_path: Path) -> None:
    record = tmp_path / "running.json"
    first = recorded_session(record, [], "first", ["sleep", "600"], os.environ, tmp_path / "log")
    second = recorded_session(record, [first], "second", ["sleep", "600"], os.environ, tmp_path / "log")
    assert stop_recorded(record, 1.0, "second") == 2
    assert not is_running(first)
    assert not is_running(second)


def test_last_words(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert last_line(log) == "it wrote no log"
    log.write_text("one\ntwo\n\n")
    assert last_line(log) == "two"


def test_what_a_copied_record_tells_of_goes_on(tmp_path: Path) -> None:
    record = tmp_path / "original" / "running.json"
    session = recorded_session(record, [], "sleep", ["sleep", "600"], os.environ, record.parent / "log")
    shutil.copytree(record.parent, tmp_path / "copy")
    assert stop_recorded(tmp_path / "copy" / record.name, grace=0.3) == 0
    assert is_running(session)
    moved = record.parent.rename(tmp_path / "moved")
    assert stop_recorded(moved / record.name, grace=0.3) == 1
    assert not is_running(session)
