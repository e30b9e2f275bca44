"""What `make pull` and `make push` ask of Docker."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from platform_under_test import ROOT


def make(folder: Path, *words: str, docker: str = "") -> tuple[int, str, list[str]]:
    """Call make with a `docker` that notes its calls; gives the exit code, what was said, the calls."""
    script, calls = folder / "docker", folder / "calls"
    script.write_text(f'#!/bin/sh\necho "$*" >> {calls}\n{docker}\n')
    script.chmod(0o755)
    names = ("TAG", "DOCKER_USER", "DOCKER_REGISTRY", "MAKEFLAGS", "MAKELEVEL")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    environment["PATH"] = f"{folder}:{os.environ['PATH']}"
    done = subprocess.run(
        ["make", "--no-print-directory", *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    made = calls.read_text().splitlines() if calls.exists() else []
    return done.returncode, done.stdout + done.stderr, [call for call in made if call.startswith("image")]


def test_a_pull_gives_images_the_names_that_compose_asks_for(tmp_path: Path) -> None:
    words = ("TAG=v1", "DOCKER_USER=me", "DOCKER_REGISTRY=r.example.org:5000", "IMAGES=airflow gateway")
    code, said, calls = make(tmp_path, "pull", *words)
    assert code == 0, said
    assert calls == [
        "image pull --quiet r.example.org:5000/me/twinserve/airflow:v1",
        "image pull --quiet r.example.org:5000/me/twinserve/gateway:v1",
        "image tag r.example.org:5000/me/twinserve/airflow:v1 me/twinserve/airflow:v1",
        "image tag r.example.org:5000/me/twinserve/gateway:v1 me/twinserve/gateway:v1",
    ]
    _, _, pushed = make(tmp_path, "push", *words)
    names = {call.split()[-1] for call in pushed if call.startswith("image push")}
    assert names == {call.split()[-1] for call in calls if call.startswith("image pull")}


def test_a_release_that_is_not_all_there_is_not_named(tmp_path: Path) -> None:
    broken = 'case "$*" in *pull*gateway*) exit 1;; esac'
    code, _, calls = make(
        tmp_path, "pull", "TAG=v1", "DOCKER_REGISTRY=r", "IMAGES=airflow gateway mlflow", docker=broken
    )
    assert code != 0
    assert [call.split()[1] for call in calls] == ["pull", "pull"]


@pytest.mark.parametrize("target", ["pull", "push"])
@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("TAG=v1", "DOCKER_REGISTRY="), "DOCKER_REGISTRY is not set"),
        (("TAG=v1-dirty", "DOCKER_REGISTRY=r"), "v1-dirty is no release"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, target: str, words: tuple[str, ...], complaint: str) -> None:
    code, said, calls = make(tmp_path, target, *words)
    assert code != 0
    assert said.startswith(complaint)
    assert calls == []


def test_with_no_engine_that_is_said(tmp_path: Path) -> None:
    code, said, _ = make(tmp_path, "pull", "TAG=v1", "DOCKER_REGISTRY=r", docker="exit 1")
    assert code != 0
    assert said.startswith("No Docker engine answers")
