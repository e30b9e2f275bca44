"""The four DAGs in containers come to what the same commands come to on a laptop."""

from __future__ import annotations

import uuid
from pathlib import Path

import httpx
import pytest
from docker_platform import DockerPlatform
from platform_under_test import Platform
from two_runtimes import Both, await_ready, digests

from twinserve_local.online_service import ask, example_request

pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("platform")]


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
    theirs = digests(stack.files("offline", tmp_path))
    assert len(theirs) > 10  # a folder a day
    assert theirs == digests(laptop.home / "offline")


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
