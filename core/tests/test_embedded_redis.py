"""One server for all users of a home; the last one out stops it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import redis

from twinserve.embedded.redis import leased_redis
from twinserve.errors import TransientError
from twinserve.settings import load_settings

pytestmark = pytest.mark.integration
HOLDER = """
import sys
import time
from contextlib import suppress
from pathlib import Path
from twinserve.embedded.redis import leased_redis
from twinserve.settings import load_settings
with leased_redis(load_settings(home=Path(sys.argv[1]))) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


def servers(home: Path) -> list[int]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if process.name() == "redis-server" and process.cwd() == str(home / "redis" / "data"):
                found.append(process.pid)
    return found


def holder(home: Path) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    return process, process.stdout.readline().strip()


def test_data_outlives_the_server_and_the_port_stays(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path)
    with leased_redis(settings) as url, redis.Redis.from_url(url) as client:
        client.set("kept", "yes")
    assert servers(tmp_path) == []
    with leased_redis(settings) as again, redis.Redis.from_url(again) as client:
        assert client.get("kept") == b"yes"
    assert again == url


def test_the_last_one_out_stops_it(tmp_path: Path) -> None:
    other, url = holder(tmp_path)
    with leased_redis(load_settings(home=tmp_path)) as mine:
        assert mine == url
    assert len(servers(tmp_path)) == 1, "the other still uses it"
    other.communicate()
    assert servers(tmp_path) == []


def test_a_killed_user_is_not_waited_for(tmp_path: Path) -> None:
    other, url = holder(tmp_path)
    os.kill(other.pid, signal.SIGKILL)
    other.communicate()
    assert len(servers(tmp_path)) == 1, "nobody was left to stop it"
    with leased_redis(load_settings(home=tmp_path)) as mine:
        assert mine == url, "the next user finds it"
    assert servers(tmp_path) == []


def test_many_at_once_share_one(tmp_path: Path) -> None:
    users = [holder(tmp_path) for _ in range(4)]
    assert len({url for _, url in users}) == 1
    assert len(servers(tmp_path)) == 1
    for process, _ in users:
        process.communicate()
    assert servers(tmp_path) == []


def test_a_server_that_is_no_ours_is_left_alone(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    with leased_redis(load_settings(home=first)) as url:
        (second / "redis").mkdir(parents=True)
        (second / "redis" / "port").write_text(url.rsplit(":", 1)[1].split("/")[0])
        with leased_redis(load_settings(home=second)) as other:
            assert other != url
        with redis.Redis.from_url(url) as client:
            assert client.ping()


def test_a_home_behind_a_link_is_the_same_home(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with leased_redis(load_settings(home=tmp_path / "link")) as one:
        with leased_redis(load_settings(home=tmp_path / "real")) as other:
            assert one == other
        assert len(servers(tmp_path / "real")) == 1
    assert servers(tmp_path / "real") == []


def test_a_starter_that_is_killed_leaves_a_server_that_the_next_one_finds(tmp_path: Path) -> None:
    starter = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE)
    while not servers(tmp_path):
        time.sleep(0.001)
    os.kill(starter.pid, signal.SIGKILL)  # between starting the server and finding it ready, most times
    starter.communicate()
    with leased_redis(load_settings(home=tmp_path)) as url, redis.Redis.from_url(url) as client:
        assert client.ping()
        assert len(servers(tmp_path)) == 1
    assert servers(tmp_path) == []


def test_a_stop_while_it_starts_waits_for_the_start(tmp_path: Path) -> None:
    starter = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from twinserve.command.stop import Stopping; import signal\nsignal.signal(15, Stopping())\n" + HOLDER,
            str(tmp_path),
        ],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    while not servers(tmp_path):
        time.sleep(0.001)
    starter.terminate()
    starter.wait(20)
    assert servers(tmp_path) == []


def test_settings_come_first(tmp_path: Path) -> None:
    with leased_redis(load_settings(home=tmp_path, redis_url="redis://elsewhere:6379/0")) as url:
        assert url == "redis://elsewhere:6379/0"
    assert not (tmp_path / "redis").exists()


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "redis" / "data").mkdir(parents=True)
    (tmp_path / "redis" / "data" / "appendonly.aof").write_text("*3\r\nrubbish that is no command\r\n" * 3)
    with (
        pytest.raises(TransientError, match=r"did not start: .*(?i:bad|aof|format)"),
        leased_redis(load_settings(home=tmp_path)),
    ):
        pass
