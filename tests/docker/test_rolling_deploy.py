"""The online service behind its gateway, replaced and killed while callers ask it all the time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from rolling_project import RollingProject, ask, docker, rolling_project
from serving_worlds import FRESH, RIDES, classifier_output, fitted_classifier, make_world, ride_rows
from steady_load import steady_load
from waiting import until

from twinserve_platform.problem import Problem
from twinserve_platform.roll import Limits, roll

pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("docker")]
ASKED = {"request_id": "r", "driver_ids": FRESH}
PLATFORM = Path(__file__).parents[2] / "deployment" / "platform" / "src"


@pytest.fixture(scope="module")
def started(tag: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RollingProject]:
    """The project with a world to serve, and one container that is ready."""
    folder = tmp_path_factory.mktemp("world")
    images = f"{os.environ.get('DOCKER_USER') or 'local'}/twinserve"
    found = rolling_project(f"rolling-{uuid.uuid4().hex[:8]}", images, tag, folder)
    with ExitStack() as opened:
        opened.callback(found.compose.run, "down", "--volumes", "--timeout", "1", capture=True)
        found.compose.run("up", "--detach", "redis", "gateway", capture=True)
        patch = opened.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("TWINSERVE_REDIS_URL", f"redis://127.0.0.1:{found.port('redis', 6379)}/0")
        world = make_world(folder, RIDES, {"driver_stats": ride_rows()}, opened)
        world.register(fitted_classifier(), world.contract(classifier_output()))
        found.compose.run("up", "--detach", "online", capture=True)
        found.await_asked(1)
        yield found


@pytest.fixture
def project(started: RollingProject) -> RollingProject:
    """The service with one container that is ready, whatever an earlier test has left."""
    started.compose.run("up", "--detach", "--no-recreate", "--scale", "online=1", "online", capture=True)
    started.await_asked(1)
    return started


@pytest.fixture
def told() -> list[str]:
    """What a roll says."""
    return []


def test_two_rolls_lose_no_request(project: RollingProject, told: list[str]) -> None:
    first = project.online()
    with steady_load(project.url, ASKED) as load:
        time.sleep(2)
        second_release = project.release(RELEASE="2")
        assert roll(second_release.compose, told.append)
        second = project.online()
        assert not roll(second_release.compose, told.append)
        assert project.online() == second
        assert roll(second_release.compose, told.append, force=True)
        third = project.online()
        time.sleep(2)
    assert load.failed == {}
    assert load.answered > 100
    assert len({*first, *second, *third}) == 3
    assert "online runs this release already" in told
    assert not any("was killed" in line for line in told)

    second_release.compose.run("up", "--detach", "--no-deps", "online", capture=True)
    assert project.online() == third, "what a roll leaves is what Compose would start"


def test_a_release_that_never_gets_ready_is_taken_back(project: RollingProject, told: list[str]) -> None:
    before = project.online()
    with steady_load(project.url, ASKED) as load:
        with pytest.raises(Problem, match="does not get ready"):
            roll(project.release(MODEL="nobody").compose, told.append, limits=Limits(healthy=60))
        with pytest.raises(Problem, match="has ended"):
            roll(project.release(MODEL="no such name!").compose, told.append)
        time.sleep(2)
    assert load.failed == {}
    assert load.answered > 100
    assert project.online() == before
    assert len(project.compose.containers("online")) == 1
    assert any("has no champion" in line for line in told)
    assert any("TWINSERVE_MODEL_NAME" in line for line in told)


def test_one_of_two_killed_is_made_good_by_the_other(project: RollingProject) -> None:
    project.compose.run("up", "--detach", "--no-recreate", "--scale", "online=2", "online", capture=True)
    project.await_asked(2)
    before = project.online()
    with steady_load(project.url, ASKED) as load:
        for _ in range(3):
            time.sleep(1)
            docker("kill", "--signal", "KILL", before[0])
            project.await_asked(1)
            time.sleep(1)
            docker("start", before[0])
            project.await_asked(2)
    assert load.failed == {}
    assert load.answered > 100


def begun_roll(project: RollingProject, before: list[str]) -> subprocess.Popen[str]:
    """A roll as a process, whose new container has just started."""
    program = (
        "import pathlib, sys\n"
        "from twinserve_platform.compose import Compose\n"
        "from twinserve_platform.roll import roll\n"
        "roll(Compose(sys.argv[1], [pathlib.Path(sys.argv[2])], env_file=pathlib.Path('/dev/null')), print)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, project.compose.project, str(project.compose.files[0])],
        env={**project.compose.environment, "PYTHONPATH": str(PLATFORM)},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    until("a new container", lambda: len(project.online()) > len(before))
    return process


def test_a_roll_that_is_interrupted_changes_nothing(project: RollingProject) -> None:
    before = project.online()
    with steady_load(project.url, ASKED) as load:
        process = begun_roll(project.release(RELEASE="interrupted"), before)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) != 0
        assert project.online() == before
    assert load.failed == {}


def test_a_roll_that_is_killed_is_cleaned_up_by_the_next(project: RollingProject, told: list[str]) -> None:
    before = project.online()
    release = project.release(RELEASE="killed")
    with steady_load(project.url, ASKED) as load:
        process = begun_roll(release, before)
        with pytest.raises(Problem, match="another roll"):
            roll(release.compose, told.append)
        process.kill()
        process.wait()
        assert len(project.online()) == 2
        assert roll(release.compose, told.append)
        after = project.online()
    assert load.failed == {}
    assert len(after) == 1
    assert after != before
    assert "the last deploy was cut off" in told


def test_what_the_gateway_lets_through_and_what_it_says_itself(project: RollingProject) -> None:
    url = project.url
    answer = ask(url, ASKED, **{"X-Request-ID": 'mine "1"\\'})
    assert answer.status_code == 200
    assert answer.headers["x-request-id"] == 'mine "1"\\'
    assert "server" not in answer.headers
    assert len(ask(url, ASKED).headers["x-request-id"]) == 36
    for page in ("/", "/livez", "/readyz", "/metrics", "/docs.json"):
        assert httpx.get(url + page, trust_env=False, timeout=10).status_code == 200, page
    assert (
        ask(url, {"request_id": "r", "driver_ids": list(range(2_000_000))}).json()["error"]["code"] == "body_too_large"
    )
    assert ask(url, {"request_id": "r", "driver_ids": []}).json()["error"]["code"] == "empty_list"
    assert ask(url, {"request_id": "r", "driver_ids": list(range(10**9, 10**9 + 5000))}).status_code == 413

    lines = project.access_log()
    assert {"request_id": 'mine "1"\\', "method": "POST", "path": "/inference", "status": 200}.items() <= next(
        line for line in lines if line["request_id"].startswith("mine")
    ).items()


def test_a_feature_store_that_is_gone_is_told_by_the_service_and_asked_once(project: RollingProject) -> None:
    project.compose.run("pause", "redis", capture=True)
    try:
        answer = ask(project.url, ASKED)
    finally:
        project.compose.run("unpause", "redis", capture=True)
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "feature_store_unavailable"
    assert project.access_log()[-1]["retries"] == "0"
    assert ask(project.url, ASKED).status_code == 200


def test_with_no_container_the_gateway_answers_in_the_services_form(project: RollingProject) -> None:
    form = set(ask(project.url, ASKED).json())
    project.compose.run("stop", "online", capture=True)
    try:
        project.await_asked(0)
        answer = ask(project.url, ASKED)
    finally:
        project.compose.run("start", "online", capture=True)
    assert answer.status_code == 503
    assert set(answer.json()) == form
    assert answer.json()["error"]["code"] == "no_server"
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize("init", [["--init"], []], ids=["with init", "as process 1"])
def test_a_container_ends_well_on_sigterm_and_leaves_no_zombie(project: RollingProject, init: list[str]) -> None:
    environment = project.compose.environment
    image = f"{environment['IMAGES']}/model_serving:{environment['TAG']}"
    name = f"{project.compose.project}-alone"
    settings = ["--env", "TWINSERVE_HOME=/tmp/twinserve", "--env", "TWINSERVE_ONLINE_DRAIN_SECONDS=2"]
    settings += ["--env", "TWINSERVE_REDIS_URL=redis://nowhere:6379/0", "--env", "TWINSERVE_ONLINE_WORKERS=2"]
    docker("run", "--detach", "--name", name, *init, *settings, image)
    try:
        until("it tries to load", lambda: "not ready" in docker("logs", name) + logs_on_error(name))
        listed = docker("top", name, "-eo", "pid,stat,args")
        assert not any(line.split()[1].startswith("Z") for line in listed.splitlines()[1:]), listed
        began = time.monotonic()
        docker("stop", "--time", "60", name)
        assert time.monotonic() - began >= 2
        assert docker("inspect", "--format", "{{.State.ExitCode}}", name) == "0"
    finally:
        docker("rm", "--force", name)


def logs_on_error(name: str) -> str:
    """What a container said on its standard error."""
    return subprocess.run(["docker", "logs", name], capture_output=True, text=True, check=True).stderr
