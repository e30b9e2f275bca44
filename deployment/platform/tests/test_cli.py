"""What the commands say to a person who is in trouble."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from twinserve_platform.platform import Platform, socket_group
from twinserve_platform.problem import Problem
from twinserve_platform.secrets_file import SECRETS

SOURCE = Path(__file__).parents[1] / "src"


def call(folder: Path, *arguments: str, path: str) -> subprocess.CompletedProcess[str]:
    """Run the tool with only what is on `path`; a docker there is a script of the test."""
    return subprocess.run(
        [sys.executable, "-m", "twinserve_platform", "--root", str(folder), *arguments],
        env={"PATH": path, "PYTHONPATH": str(SOURCE), "TAG": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def script(folder: Path, lines: str) -> str:
    """A folder for PATH with a command `docker`."""
    file = folder / "docker"
    file.write_text(f"#!/bin/sh\n{lines}\n")
    file.chmod(0o755)
    return str(folder)


def test_no_docker_is_one_line(tmp_path: Path) -> None:
    done = call(tmp_path, "ps", path=str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "no command `docker`. Install Docker Engine with its Compose plug-in\n"


def test_no_compose_and_no_engine_are_told_apart(tmp_path: Path) -> None:
    without_compose = call(
        tmp_path, "ps", path=script(tmp_path, "echo \"'compose' is not a docker command\" >&2; exit 1")
    )
    assert without_compose.stderr.startswith("Docker has no Compose v2: 'compose' is not a docker command. Install")
    engine_off = '[ "$1" = compose ] && exit 0; echo "Cannot connect to the Docker daemon" >&2; exit 1'
    without_engine = call(tmp_path, "ps", path=script(tmp_path, engine_off))
    assert (
        without_engine.stderr == "the Docker engine can't be reached: Cannot connect to the Docker daemon. Start it\n"
    )


def test_an_unknown_profile_names_those_there_are(tmp_path: Path) -> None:
    done = call(tmp_path, "up", "--profiles", "monitoring,grafana", path=script(tmp_path, "exit 0"))
    assert done.returncode == 1
    assert done.stderr.startswith("no profile grafana. There are: streaming, monitoring")
    assert not (tmp_path / ".env").exists()


def test_an_unknown_pipeline_names_those_there_are(tmp_path: Path) -> None:
    done = call(tmp_path, "deploy-dags", "data", path=script(tmp_path, "exit 0"))
    assert done.stderr.startswith("no pipeline data. There are: data_pipeline")


OF_AN_EARLIER_START = '[ "$1" != volume ] || echo twinserve_postgres'


def test_a_lost_env_file_makes_no_new_passwords(tmp_path: Path) -> None:
    done = call(tmp_path, "up", path=script(tmp_path, OF_AN_EARLIER_START))
    assert done.returncode == 1
    assert "has no POSTGRES_PASSWORD, AIRFLOW_DB_PASSWORD" in done.stderr
    assert "twinserve_postgres" in done.stderr
    assert not (tmp_path / ".env").exists()


def test_one_lost_password_is_named(tmp_path: Path) -> None:
    given = "".join(f"{name}=x\n" for name in SECRETS if name not in {"FEAST_DB_PASSWORD", "REDIS_PASSWORD"})
    (tmp_path / ".env").write_text(given)
    done = call(tmp_path, "up", path=script(tmp_path, OF_AN_EARLIER_START))
    assert "has no FEAST_DB_PASSWORD, and the data of twinserve_postgres is behind it" in done.stderr
    assert (tmp_path / ".env").read_text() == given


@pytest.mark.parametrize(("command", "asked"), [("up", "volume"), ("down", "ps")])
def test_an_engine_that_fails_is_one_line_and_makes_no_passwords(tmp_path: Path, command: str, asked: str) -> None:
    failing = f'[ "$1" != {asked} ] || {{ echo "the engine is tired" >&2; exit 1; }}'
    done = call(tmp_path, command, path=script(tmp_path, failing))
    assert (done.returncode, done.stderr) == (1, f"docker {asked} failed: the engine is tired. Try it by hand\n")
    assert not (tmp_path / ".env").exists()


def test_the_users_own_compose_file_counts(tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yml").touch()
    platform = Platform(tmp_path, tmp_path / ".env", {})
    assert [file.name for file in platform.compose("1").files] == ["docker-compose.yml"]
    (tmp_path / "docker-compose.override.yml").touch()
    assert [file.name for file in platform.compose("1").files] == ["docker-compose.yml", "docker-compose.override.yml"]


def test_an_empty_secret_of_the_shell_does_not_hide_the_one_that_is_kept(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("REDIS_PASSWORD=kept\n")
    assert (
        "REDIS_PASSWORD" not in Platform(tmp_path, tmp_path / ".env", {"REDIS_PASSWORD": ""}).compose("1").environment
    )


def test_a_missing_image_says_how_to_make_it(tmp_path: Path) -> None:
    lines = """case "$*" in
    *"image inspect"*) exit 1;;
    *"config --images"*) echo local/twinserve/airflow:1; echo redis:7;;
    esac"""
    done = call(tmp_path, "up", path=script(tmp_path, lines))
    assert done.returncode == 1
    assert done.stderr.startswith('no image local/twinserve/airflow:1. `make build IMAGES="airflow"` makes them')


def test_the_environment_wins_over_the_env_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("COMPOSE_PROJECT_NAME=mine\nTAG=old\n")
    platform = Platform(tmp_path, tmp_path / ".env", {"TAG": "new"})
    assert (platform.project, platform.running_tag, platform.wanted_tag) == ("mine", "old", "new")
    assert Platform(tmp_path, tmp_path / ".env", {"COMPOSE_PROJECT_NAME": "theirs"}).project == "theirs"


def test_to_stop_needs_no_secret(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("REDIS_PASSWORD=kept\n")
    compose = Platform(tmp_path, tmp_path / ".env", {}).compose("1")
    assert {name: compose.environment.get(name) for name in SECRETS} == {
        name: None if name == "REDIS_PASSWORD" else "none" for name in SECRETS
    }


def test_a_release_must_be_named(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="TAG is not set"):
        _ = Platform(tmp_path, tmp_path / ".env", {}).wanted_tag


def test_the_group_of_a_socket_elsewhere_is_0(tmp_path: Path) -> None:
    assert socket_group(str(tmp_path / "no.sock")) == "0"
    assert socket_group(str(tmp_path)) == str(tmp_path.stat().st_gid)
