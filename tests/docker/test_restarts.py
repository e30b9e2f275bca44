"""Each server of the platform restarted in turn: everything comes back, and nothing is lost."""

from __future__ import annotations

import httpx
import pytest
from docker_platform import DockerPlatform
from two_runtimes import Both, await_ready, run_dag
from waiting import until

from twinserve_local.online_service import ask, example_request

pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("platform")]


@pytest.mark.parametrize("how", ["restart", "kill"])
@pytest.mark.parametrize("service", ["redis", "postgres", "mlflow", "online"])
def test_the_answer_is_the_same_after_a_restart(stack: DockerPlatform, first: Both, service: str, how: str) -> None:
    await_ready(stack)
    request = example_request(stack.online)
    before = ask(stack.online, request)
    if how == "restart":
        stack.compose.run("restart", service, capture=True)
    else:
        stack.compose.run("kill", "--signal", "SIGKILL", service, capture=True)
        stack.compose.run("start", service, capture=True)
    until(f"{service} is well", lambda: all(c.well for c in stack.compose.containers(service)))
    await_ready(stack)
    after = until("an answer", lambda: _answer(stack, request), seconds=30)
    assert after == before


def test_a_batch_runs_after_everything_was_restarted(stack: DockerPlatform, first: Both) -> None:
    with stack.api() as api:
        again = run_dag(api, "batch_serving_pipeline", "after-restarts", {"run_key": "first"})
    before = first.docker["batch_serving_pipeline"]["batch_prediction_task"]
    assert again["batch_prediction_task"]["rows"] == before["rows"]
    assert again["batch_prediction_task"]["output"] == before["output"]


def test_the_platform_taken_down_and_up_again_has_everything(stack: DockerPlatform, first: Both) -> None:
    await_ready(stack)
    request = example_request(stack.online)
    before = ask(stack.online, request)
    stack.tool("down")
    stack.tool("up")
    await_ready(stack)
    assert ask(stack.online, request) == before
    with stack.api() as api:
        assert api.result("training_pipeline", "first", "model_validation_task")["metrics"]


def _answer(stack: DockerPlatform, request: dict[str, object]) -> dict[str, object] | None:
    answer = httpx.post(f"{stack.online}/inference", json=request, timeout=10, trust_env=False)
    return dict(answer.json()) if answer.is_success else None
