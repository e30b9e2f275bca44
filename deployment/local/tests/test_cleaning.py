"""`twinserve-local clean` removes what is ours, after it has stopped what runs, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from twinserve_local.cleaning import OWN
from twinserve_local.ports import is_free
from twinserve_local.sessions import is_running, recorded_session

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[3]
COMMAND = str(Path(sys.executable).with_name("twinserve-local"))
LEASE = """
import sys, time
from twinserve.embedded.redis import leased_redis
from twinserve.settings import load_settings
with leased_redis(load_settings()):
    print("there", flush=True)
    time.sleep(600)
"""


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "TWINSERVE_HOME": str(home)}


def clean(home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, "clean"], env=environment(home), capture_output=True, text=True, check=False, timeout=90
    )


@contextmanager
def redis_user(home: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds a lease of the embedded Redis."""
    command = [sys.executable, "-c", LEASE]
    with subprocess.Popen(
        command, env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as it:
        try:
            assert it.stdout
            assert it.stdout.readline() == "there\n"
            yield it
        finally:
            it.send_signal(signal.SIGINT)  # by SIGTERM it would leave its Redis


def redis_port(home: Path) -> int:
    return int((home / "redis" / "port").read_text())


def test_it_refuses_a_folder_that_holds_more() -> None:
    done = clean(ROOT.parent)
    assert done.returncode == 65
    assert ROOT.is_dir()


def test_it_removes_all_that_is_ours(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for name in OWN:
        if not name.endswith(".json"):
            (home / name / "below").mkdir(parents=True)
    (home / "forgotten.json").write_text("{}")
    assert clean(home).returncode == 0
    assert not home.exists()


def test_files_of_others_stay_and_are_named(tmp_path: Path) -> None:
    (tmp_path / "offline").mkdir()
    (tmp_path / "chapters").mkdir()
    (tmp_path / "my_thesis.txt").write_text("years of work")
    done = clean(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "left: chapters, my_thesis.txt" in done.stdout
    assert sorted(p.name for p in tmp_path.iterdir()) == ["chapters", "my_thesis.txt"]
    assert (tmp_path / "my_thesis.txt").read_text() == "years of work"


def test_what_a_link_points_to_stays(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "rows").write_text("1")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "offline").symlink_to(tmp_path / "elsewhere")
    assert clean(tmp_path / "home").returncode == 0
    assert (tmp_path / "elsewhere" / "rows").exists()
    assert not (tmp_path / "home").exists()


def test_a_live_user_is_named_and_nothing_is_removed(tmp_path: Path) -> None:
    (tmp_path / "offline").mkdir()
    with redis_user(tmp_path) as user:
        done = clean(tmp_path)
        assert done.returncode == 65
        assert f"in use by process {user.pid}" in done.stderr
        assert (tmp_path / "offline").is_dir()
        assert not is_free(redis_port(tmp_path))


def test_a_redis_that_a_killed_user_left_is_stopped(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with redis_user(home) as user:
        user.kill()
        user.wait()
        port = redis_port(home)
        assert not is_free(port)
        done = clean(home)
    assert done.returncode == 0, done.stderr
    assert is_free(port)
    assert not home.exists()


def test_a_service_that_a_killed_demo_left_is_stopped(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "demo").mkdir(parents=True)
    record, log = home / "demo" / "running.json", home / "demo" / "serve.log"
    session = recorded_session(record, [], "model-serving serve", ["sleep", "600"], environment(home), log)
    assert clean(home).returncode == 0
    assert not is_running(session)
    assert not home.exists()


def test_a_running_service_is_stopped(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    script = tmp_path / "model-serving"  # stands for ours: it waits, and says how it ended
    script.write_text("import time\nprint('there', flush=True)\ntime.sleep(600)\n")
    words = [sys.executable, str(script), "serve"]
    with subprocess.Popen(words, env=environment(home), stdout=subprocess.PIPE, text=True) as service:
        assert service.stdout
        assert service.stdout.readline() == "there\n"
        other = subprocess.Popen(words, env=environment(tmp_path / "another"))
        try:
            done = clean(home)
            assert done.returncode == 0, done.stderr
            assert service.wait(10) == -signal.SIGTERM
            assert psutil.Process(other.pid).status() != psutil.STATUS_ZOMBIE
        finally:
            other.kill()
            other.wait()
    assert not home.exists()
