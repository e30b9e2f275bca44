"""`twinserve-local airflow` as people run it: start, stop, be killed, start again."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from twinserve_local.ports import free_port, is_free

pytestmark = pytest.mark.integration
COMMAND = str(Path(sys.executable).with_name("twinserve-local"))


@contextmanager
def started(home: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """The command, once it says that Airflow is there."""
    process = subprocess.Popen(
        [COMMAND, "airflow", "--port", str(port)], env={**os.environ, "TWINSERVE_HOME": str(home)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        assert process.stdout
        for line in process.stdout:
            if line.startswith("Ctrl-C"):
                break
            if found := re.match(r"user (\S+), password (\S+)", line):
                process.login = found.groups()  # type: ignore[attr-defined]
        yield process
    finally:
        process.kill()
        process.wait()


def run(home: Path, port: int) -> subprocess.CompletedProcess[str]:
    words = [COMMAND, "airflow", "--port", str(port)]
    environment = {**os.environ, "TWINSERVE_HOME": str(home)}
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=120)


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def all_gone(processes: list[psutil.Process]) -> bool:
    _gone, alive = psutil.wait_procs(processes, timeout=5)
    return all(process.status() == psutil.STATUS_ZOMBIE for process in alive)


def listening(processes: list[psutil.Process]) -> set[tuple[str, int]]:
    found = (c for process in processes for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN)
    return {(c.laddr.ip, c.laddr.port) for c in found}


def test_it_starts_and_stops_and_leaves_nothing(tmp_path: Path) -> None:
    port = free_port()
    with started(tmp_path, port) as process:
        assert httpx.post(f"http://127.0.0.1:{port}/auth/token", json=login(process)).is_success
        passwords = tmp_path / "airflow" / "passwords.json"
        assert stat.S_IMODE(passwords.stat().st_mode) == 0o600
        processes = family(process)
        redis_port = int((tmp_path / "redis" / "port").read_text())
        assert listening(processes) == {("127.0.0.1", port), ("127.0.0.1", redis_port)}
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 128 + signal.SIGINT
        assert all_gone(processes)
    assert is_free(port)
    assert is_free(redis_port)
    assert not (tmp_path / "airflow" / "running.json").exists()


def login(process: subprocess.Popen[str]) -> dict[str, str]:
    user, password = process.login  # type: ignore[attr-defined]
    return {"username": user, "password": password}


def test_a_killed_one_is_no_obstacle_for_the_next(tmp_path: Path) -> None:
    port = free_port()
    with started(tmp_path, port) as first:
        orphans = [each for each in family(first) if "redis" not in each.name()]
        first.kill()
        first.wait()
        assert not is_free(port)
        with started(tmp_path, port) as second:
            assert all_gone(orphans)
            assert httpx.get(f"http://127.0.0.1:{port}/api/v2/version").is_success
            refused = run(tmp_path, free_port())
            assert refused.returncode == 65
            assert "Airflow already runs in" in refused.stderr
            second.send_signal(signal.SIGTERM)
            assert second.wait(timeout=60) == 128 + signal.SIGTERM
    assert is_free(port)


def test_a_taken_port_is_said(tmp_path: Path) -> None:
    before = psutil.Process().children(recursive=True)  # servers of other tests
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = run(tmp_path, server.getsockname()[1])
    assert done.returncode == 65
    assert re.search(r"port \d+ on 127.0.0.1 is in use. Stop what uses it, or pass --port", done.stderr)
    assert set(psutil.Process().children(recursive=True)) <= set(before)
