"""A release that fails half-way: what has been done by then, as the calls of `docker` tell."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from twinserve_platform.roll import ASKED_AT_MOST

SOURCE = Path(__file__).parents[1] / "src"
GATEWAY = Path(__file__).parents[2] / "gateway" / "haproxy.cfg"
INSTALL = "install_dags.py data_pipeline training_pipeline model_serving"

# one container of Airflow's, those of the online service that $OLD names, and what `up` adds: those that $NEW names
DOCKER = r"""#!/bin/sh
echo "$*" >> "$STATE/calls"
one() { printf '{"ID":"%s","Name":"%s","Service":"online","State":"%s","Health":"%s"}\n' "$1" "$1" "$2" "$3"; }
case "$*" in
*" ps "*" airflow-scheduler") one airflow running healthy;;
*" ps "*" gateway") [ -z "$GATEWAY" ] || one gateway running healthy;;
*" ps "*" online")
    for id in $OLD; do one "$id" running healthy; done
    [ ! -e "$STATE/up" ] || for id in $NEW; do one "$id" ${id%-*} healthy; done;;
*"config --hash"*) echo "online $WANTED";;
*" up --detach"*) : > "$STATE/up";;
"rm "*-*) rm "$STATE/up";;
*"install_dags.py --check"*) echo "$CHECK";;
*"install_dags.py data"*) [ -z "$BROKEN" ] || { echo "no space left" >&2; exit 1; }; echo "DAGs of all";;
"inspect "*)
    shift 3; comma='['
    for id; do
        printf '%s{"Id":"%s","Image":"i","Config":{"Image":"n","Labels":{"com.docker.compose.config-hash":"h"}},' \
            "$comma" "$id"
        printf '"NetworkSettings":{"Networks":{}},"State":{"ExitCode":0}}'; comma=,
    done
    echo ']';;
"image inspect"*) echo i;;
esac
"""


@dataclass(frozen=True)
class Deployed:
    """What came of a deploy."""

    code: int
    told: str
    calls: str
    tag: str


def deployed(folder: Path, **state: str) -> Deployed:
    """Deploy the release 2 over the release 1 on an engine that is in this state."""
    (folder / "docker").write_text(DOCKER)
    (folder / "docker").chmod(0o755)
    (folder / "docker-compose.yml").touch()
    (folder / ".env").write_text("TAG=1\n")
    environment = {"PATH": f"{folder}:/usr/bin:/bin", "PYTHONPATH": str(SOURCE), "TAG": "2", "STATE": str(folder)}
    done = subprocess.run(
        [sys.executable, "-m", "twinserve_platform", "--root", str(folder), "deploy"],
        env={**environment, "OLD": "old", "WANTED": "other", **state}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return Deployed(
        done.returncode, done.stdout + done.stderr, (folder / "calls").read_text(), (folder / ".env").read_text()
    )


def touched(calls: str, container: str) -> list[str]:
    """The calls that stopped or removed a container."""
    return re.findall(rf"^(?:stop|rm)\b.* {container}\b.*$", calls, re.MULTILINE)


def test_first_the_service_then_the_dags_then_the_release_is_noted(tmp_path: Path) -> None:
    done = deployed(tmp_path, NEW="running-new")
    assert done.code == 0, done.told
    assert 0 < done.calls.index(" up --detach") < done.calls.index("stop old") < done.calls.index(INSTALL)
    assert done.tag == "TAG=2\n"


def test_a_service_that_does_not_start_leaves_the_dags_as_they_were(tmp_path: Path) -> None:
    done = deployed(tmp_path, NEW="exited-new")
    assert done.code == 1
    assert "the new exited-new has ended" in done.told
    assert INSTALL not in done.calls
    assert touched(done.calls, "exited-new") == ["rm --force --volumes exited-new"]
    assert touched(done.calls, "old") == []
    assert done.tag == "TAG=1\n"


def test_dags_that_can_not_be_installed_leave_a_state_that_is_told(tmp_path: Path) -> None:
    done = deployed(tmp_path, WANTED="h", BROKEN="yes")
    assert done.code == 1
    assert "the online service runs 2, but not all DAGs are of that release" in done.told
    assert "no space left" in done.told
    assert done.tag == "TAG=1\n"
    assert deployed(tmp_path, WANTED="h").tag == "TAG=2\n", "the same again finishes it"


def test_a_release_that_changes_airflow_is_refused_before_anything_changes(tmp_path: Path) -> None:
    done = deployed(tmp_path, NEW="running-new", CHECK="this release changes Airflow itself: make up")
    assert done.code == 1
    assert done.told == "this release changes Airflow itself. Bring all of it there with `make up`\n"
    assert " up --detach" not in done.calls
    assert INSTALL not in done.calls
    assert done.tag == "TAG=1\n"


@pytest.mark.parametrize("started", ["", "running-new"])
def test_no_old_one_goes_unless_there_are_as_many_new_ones(tmp_path: Path, started: str) -> None:
    done = deployed(tmp_path, OLD="old older", NEW=started)
    assert done.code == 1
    assert f"Compose started {len(started.split())} new containers of 2" in done.told
    assert touched(done.calls, "old") == touched(done.calls, "older") == []


def test_more_than_the_gateway_asks_is_said_before_anything_starts(tmp_path: Path) -> None:
    done = deployed(tmp_path, OLD="a b c d e", NEW="running-f", GATEWAY="yes")
    assert done.code == 1
    assert "5 online containers can't be rolled: the gateway asks 8, new and old. docker compose up" in done.told
    assert " up --detach" not in done.calls
    assert f"server-template online {ASKED_AT_MOST} online:8172" in GATEWAY.read_text()
