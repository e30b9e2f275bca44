"""The four DAGs in containers come to what the same commands come to on a laptop."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path

import httpx
import pytest
from docker_platform import DockerPlatform, until
from platform_under_test import Platform

from conftest import Both
from twinserve_local.online_service import ask, example_request

pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("platform")]


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by its path in it."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def test_the_predictions_are_the_same_bytes(
    stack: DockerPlatform, laptop: Platform, first: Both, tmp_path: Path
) -> None:
    scored = first.docker["batch_serving_pipeline"]["batch_prediction_task"]
    assert scored["rows"] == first.laptop["batch_serving_pipeline"]["rows"] > 0
    theirs = digests(stack.files("predictions", tmp_path))
    assert theirs
    assert theirs == digests(laptop.home / "predictions")


def test_the_offline_store_is_the_same_bytes(
    stack: DockerPlatform, laptop: Platform, first: Both, tmp_path: Path
) -> None:
    parquet = {name: digest for name, digest in digests(stack.files("offline", tmp_path)).items()}
    assert len(parquet) > 10  # a folder a day
    assert parquet == digests(laptop.home / "offline")


def test_training_finds_the_same_numbers(first: Both) -> None:
    theirs = first.docker["training_pipeline"]["model_validation_task"]
    ours = first.laptop["training_pipeline"]
    assert theirs["metrics"] == ours["metrics"]
    assert theirs["version"] == ours["version"]


def test_both_online_services_give_the_same_answer(stack: DockerPlatform, laptop: Platform, first: Both) -> None:
    await_ready(stack)
    request = {**example_request(stack.online), "request_id": str(uuid.uuid4())}
    theirs = ask(stack.online, request)
    with laptop.serving() as client:
        ours = client.post("/inference", json=request).json()
    assert theirs == ours
    assert theirs["prediction"] is not None


def test_no_container_of_a_task_is_left(stack: DockerPlatform, first: Both) -> None:
    assert stack.task_containers() == []


def test_the_page_and_the_metrics_come_through_the_gateway(stack: DockerPlatform, first: Both) -> None:
    await_ready(stack)
    for path, part in (("/", "swagger"), ("/metrics", "# HELP"), ("/livez", ""), ("/readyz", "")):
        answer = httpx.get(f"{stack.online}{path}", timeout=10, trust_env=False)
        assert answer.status_code == httpx.codes.OK, path
        assert part in answer.text.lower() or part in answer.text


def await_ready(stack: DockerPlatform) -> None:
    """The service tries again for its model at growing intervals, of half a minute at most."""

    def ready() -> bool:
        return httpx.get(f"{stack.online}/readyz", timeout=5, trust_env=False).is_success

    until("the online service is ready", ready, seconds=60)
