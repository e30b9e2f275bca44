"""Runtime `docker` against a real engine, through the real gate, in real runs of a real Airflow."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import docker
import pytest
from airflow.sdk.exceptions import AirflowException
from container_settings import ContainerSettings
from docker.errors import APIError, NotFound
from docker_command import DockerCommand, limits
from docker_world import DockerWorld, docker_world
from one_task_dag import result, run
from task_container import TASK_LABEL, TaskContainer

if TYPE_CHECKING:
    from airflow.sdk import Context

pytestmark = pytest.mark.docker
SECRET = "s3cret-word"
ONCE = "first = not os.path.exists('/var/lib/twinserve/{0}'); open('/var/lib/twinserve/{0}', 'w').close()\n"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerWorld]:
    """One for all tests."""
    with docker_world(tmp_path_factory.mktemp("image")) as made:
        yield made


@pytest.fixture(autouse=True)
def _worker(world: DockerWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "tool").mkdir()
    (tmp_path / "tool" / "RELEASE").write_text("1\n")
    settings = {
        "RUNTIME": "docker", "IMAGES": world.name, "RELEASES": str(tmp_path), "VOLUME": world.name,
        "NETWORK": world.name, "MEMORY": "64m", "CPUS": "1",
    }  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(f"TWINSERVE_TASK_{name}", value)
    monkeypatch.setenv("DOCKER_HOST", world.gate.url)
    yield
    assert world.containers() == []


def test_the_last_line_of_output_is_the_xcom_whatever_is_said_on_the_other_stream_after_it() -> None:
    do = """print('working', flush=True); print(json.dumps({"rows": 3, "path": "\u00fc"}), flush=True)
time.sleep(0.2); print('a warning at exit', file=sys.stderr)"""
    instance = run({"--do": do})
    assert (instance.state, result(instance)) == ("success", {"rows": 3, "path": "\u00fc"})


@pytest.mark.parametrize("code", [65, 2, 70])
def test_a_permanent_failure_is_not_tried_again(world: DockerWorld, code: int) -> None:
    again = ONCE.format(f"permanent-{code}") + f"print('{{}}')\nsys.exit({code} if first else 0)"
    assert run({"--do": again}, retries="2").state == "failed"


@pytest.mark.parametrize("code", [75, 1, 143])
def test_another_failure_is_tried_again(code: int) -> None:
    again = ONCE.format(f"transient-{code}") + f"print('{{}}')\nsys.exit({code} if first else 0)"
    instance = run({"--do": again}, retries="2")
    assert (instance.state, result(instance)) == ("success", {})


def test_a_command_must_end_with_one_json_object(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run({"--do": "print('done')"}, retries="0").state == "failed"
    assert "tool go exited with 0 but did not end with one JSON object: 'done'" in said(caplog, capfd)


def test_a_container_that_is_killed_is_tried_again(
    world: DockerWorld, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    do = ONCE.format("killed") + "time.sleep(60 if first else 0)\nprint('{}')"
    with meanwhile(world, lambda name: world.client.kill(name, "SIGKILL")):
        assert run({"--do": do}, retries="1").state == "success"
    assert "tool go was ended by signal 9" in said(caplog, capfd)


def test_out_of_memory_is_called_so(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    assert run({"--do": "hold = [bytearray(1 << 20) for _ in range(200)]"}, retries="0").state == "failed"
    assert "ran out of memory. Its limit is TWINSERVE_TASK_MEMORY=64m" in said(caplog, capfd)


def test_a_command_that_takes_too_long_is_told_to_stop(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    do = """signal.signal(signal.SIGTERM, lambda *_: sys.exit(print('told to stop', flush=True)))
print('at work', flush=True); time.sleep(60)"""
    assert run({"--do": do}, retries="0", timeout="timedelta(seconds=4)").state == "failed"
    assert "at work" in said(caplog, capfd)


def test_templates_are_filled_in_and_no_shell_reads_them() -> None:
    value = "x; touch /tmp/y $(touch /tmp/y) `touch /tmp/y` --force .env"
    do = "print(json.dumps({'words': sys.argv[1:2] + sys.argv[3:], 'touched': os.path.exists('/tmp/y')}))"
    instance = run({"--do": do, "--key": "{{ params.value }}", "--none": "{{ '' }}"}, {"value": value})
    assert result(instance) == {"words": ["go", f"--key={value}"], "touched": False}


def test_a_container_has_the_pipelines_settings_and_nothing_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWINSERVE_REDIS_URL", f"redis://:{SECRET}@redis:6379/0")
    monkeypatch.setenv("TWINSERVE_HOME", "/somewhere/else")
    monkeypatch.setenv("TWINSERVE_VENV", "/somewhere/else")
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", SECRET)
    do = """
def writable(path):
    try: open(path, 'w').close(); return True
    except OSError: return False
status = dict(line.split(':', 1) for line in open('/proc/self/status'))
print(json.dumps({
    'environment': {k: v for k, v in os.environ.items() if 'TWINSERVE' in k or 'AIRFLOW' in k},
    'root': writable('/x'), 'temporary': writable('/tmp/x'), 'data': writable('/var/lib/twinserve/x'),
    'user': os.getuid(), 'capabilities': int(status['CapEff'], 16), 'no_new': status['NoNewPrivs'].strip(),
}))"""
    assert result(run({"--do": do})) == {
        "environment": {
            "TWINSERVE_HOME": "/var/lib/twinserve",
            "TWINSERVE_LOG_FORMAT": "text",
            "TWINSERVE_REDIS_URL": f"redis://:{SECRET}@redis:6379/0",
        },
        "root": False, "temporary": True, "data": True, "user": 10001, "capabilities": 0, "no_new": "1",
    }  # fmt: skip


def test_secrets_are_in_no_command_line_and_no_log(
    world: DockerWorld,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TWINSERVE_SOURCE_URL", f"postgresql://me:{SECRET}@postgres/source")
    seen: list[Any] = []
    do = """url = os.environ['TWINSERVE_SOURCE_URL']; print('reading', url); time.sleep(3)
print('failed', url, file=sys.stderr); sys.exit(65)"""
    with meanwhile(world, lambda name: seen.append(world.client.inspect_container(name))):
        assert run({"--do": do}, retries="0").state == "failed"
    log = said(caplog, capfd)
    assert SECRET not in str((seen[0]["Path"], seen[0]["Args"], seen[0]["Name"], seen[0]["Config"]["Labels"]))
    assert "failed postgresql://***@postgres/source" in log
    assert SECRET not in log


def test_an_image_that_is_not_there_and_a_pipeline_that_was_not_deployed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tool" / "RELEASE").write_text("no-such-tag")
    assert run({"--do": "pass"}, retries="2").state == "failed"
    (tmp_path / "tool" / "RELEASE").unlink()
    assert run({"--do": "pass"}, retries="2").state == "failed"
    log = said(caplog, capfd)
    assert "/tool:no-such-tag on the Docker engine. Run `make build`" in log
    assert "no release of tool in" in log


def test_what_the_gate_refuses_is_not_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TWINSERVE_TASK_MEMORY", "4g")
    assert run({"--do": "pass"}, retries="2").state == "failed"
    assert "docker-gate: HostConfig.Memory=4294967296" in said(caplog, capfd)


def test_an_engine_that_is_away_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    assert run({"--do": "pass"}, retries="1").state == "failed"
    assert said(caplog, capfd).count("AirflowException: no Docker engine answers at tcp://127.0.0.1:9") >= 2


def test_a_gate_that_restarts_in_mid_run_costs_one_try(world: DockerWorld) -> None:
    def restart(_: str) -> None:
        world.gate.stop()
        world.gate.start()

    do = ONCE.format("gate") + "time.sleep(60 if first else 0)\nprint('{}')"
    with meanwhile(world, restart):
        assert run({"--do": do}, retries="1").state == "success"


def arguments(world: DockerWorld, do: str, **labels: str) -> dict[str, Any]:
    """What `create_container` takes."""
    labels = {TASK_LABEL: "dag.task"} | {f"io.twinserve.{name}": value for name, value in labels.items()}
    return {"image": f"{world.name}/tool:1", "command": ["tool", f"--do={do}"], "labels": labels}


def container(world: DockerWorld, tell: Callable[..., None] = lambda *_: None) -> TaskContainer:
    """A container that is reached through the gate, the same for all tries of one task."""

    def connect() -> docker.APIClient:
        return docker.APIClient(base_url=world.gate.url, version="auto")

    return TaskContainer(connect, "task-x", tell)


def allowed() -> dict[str, Any]:
    """What `create_host_config` takes, from the worker's environment."""
    return limits(ContainerSettings.of(os.environ))


def aside(task: TaskContainer, made: dict[str, Any]) -> Thread:
    """Runs it in a thread of its own; somebody else ends it."""

    def follow() -> None:
        with suppress(APIError, AirflowException):
            task.run(made, allowed())

    return Thread(target=follow)


def test_what_an_earlier_try_left_running_is_stopped_first(world: DockerWorld) -> None:
    beat = """
while True:
    open('/var/lib/twinserve/beat', 'a').write('x'); time.sleep(0.05)"""
    first, second = container(world), container(world)
    left = aside(first, arguments(world, beat))
    with meanwhile(world, lambda _: None):
        left.start()
    do = """size = lambda: os.path.getsize('/var/lib/twinserve/beat')
before = size(); time.sleep(0.5); print(json.dumps({'before': before, 'after': size()}))"""
    assert second.run(arguments(world, do), allowed()) == 0
    second.stop()
    left.join()
    sizes = json.loads(second.last_output)
    assert sizes["before"] == sizes["after"] > 0


def test_a_container_whose_time_is_up_is_removed_by_whoever_comes_next(world: DockerWorld) -> None:
    for name, until in ("task-overdue", "1"), ("task-in-time", "99999999999"), ("task-without-limit", "x"):
        made = arguments(world, "time.sleep(600)", until=until)
        world.client.create_container(
            name=name, host_config=world.client.create_host_config(network_mode=world.name), **made
        )
    world.client.start("task-overdue")
    following = container(world)
    assert following.run(arguments(world, "print('{}')"), allowed()) == 0
    following.stop()
    left = {str(found["Names"]) for found in world.containers()}
    for name in ("task-in-time", "task-without-limit"):
        world.client.remove_container(name)
    assert left == {"['/task-in-time']", "['/task-without-limit']"}


def test_one_that_cannot_be_removed_keeps_nobody_from_running(
    world: DockerWorld, caplog: pytest.LogCaptureFixture
) -> None:
    made = arguments(world, "time.sleep(600)", until="1")
    # of another network, so the gate refuses it; in this one too, so it is among those that are found
    outside = world.client.create_container(**made)["Id"]
    world.client.connect_container_to_network(outside, world.name)
    world.client.create_container(
        name="task-overdue", host_config=world.client.create_host_config(network_mode=world.name), **made
    )
    following = container(world)
    code = following.run(arguments(world, "print('{}')"), allowed())
    following.stop()
    left = [found["Id"] for found in world.containers()]
    world.client.remove_container(outside)
    assert (code, left) == (0, [outside])
    assert f"container {outside} is past its time and could not be removed" in caplog.text


class Interrupted(docker.APIClient):  # type: ignore[misc] # it has no types
    """A client that is in the middle of a call when somebody stops the task, as a signal's handler does."""

    call = "none"
    stop_task: Callable[[], None]

    def send(self, request: Any, **more: Any) -> Any:
        """As it is sent, but for that."""
        if self.call in request.url:
            self.stop_task()
        return super().send(request, **more)


@pytest.mark.parametrize("call", ["/containers/json", "/containers/create", "/attach", "/start"])
def test_a_stop_before_the_start_is_not_lost(world: DockerWorld, call: str) -> None:
    told: list[str] = []
    client = Interrupted(base_url=world.gate.url, version="auto")
    stopped = TaskContainer(lambda: client, "task-x", lambda _, line: told.append(line))
    client.call, client.stop_task = call, stopped.stop
    with pytest.raises((AirflowException, NotFound)):
        stopped.run(arguments(world, "print('began', flush=True); time.sleep(2)"), allowed())
    stopped.stop()
    assert told == []


def test_a_task_that_was_killed_before_it_had_a_container_starts_none() -> None:
    command = DockerCommand(task_id="t", command=["tool", "go"], options={"--do": "print('{}')"})
    command.on_kill()
    with pytest.raises(AirflowException, match="was stopped before"):
        command.execute(cast("Context", {"ti": SimpleNamespace(dag_id="d", task_id="t", run_id="r", map_index=-1)}))


def test_a_try_whose_worker_was_taken_for_dead_leaves_the_next_one_alone(world: DockerWorld) -> None:
    first = container(world)
    left = aside(first, arguments(world, "time.sleep(600)"))
    with meanwhile(world, lambda _: None):
        left.start()
    outlived: list[bool] = []

    def interfere(_: str, line: object, *__: object) -> None:
        if line == "begun":
            left.join(timeout=5)
            first.stop()
            outlived.append(left.is_alive())

    second = container(world, interfere)
    code = second.run(arguments(world, "print('begun', flush=True); time.sleep(3); print('{}')"), allowed())
    second.stop()
    left.join()
    assert (code, second.last_output, outlived) == (0, "{}", [False])


def test_a_command_that_does_not_listen_is_killed(world: DockerWorld) -> None:
    deaf = container(world)
    do = "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    running = aside(deaf, arguments(world, do))
    with meanwhile(world, lambda _: deaf.stop()):
        running.start()
    running.join(timeout=20)
    assert not running.is_alive()
    assert deaf.last_output == "deaf"


def test_stopping_what_is_gone_or_never_began_does_nothing(world: DockerWorld) -> None:
    container(world).stop()


def test_a_removal_waits_for_a_gate_that_is_away(world: DockerWorld) -> None:
    ended = container(world)
    assert ended.run(arguments(world, "print('{}')"), allowed()) == 0
    world.gate.stop()
    stopping = Thread(target=ended.stop)
    stopping.start()
    time.sleep(0.5)
    world.gate.start()
    stopping.join(timeout=20)
    assert not stopping.is_alive()


class meanwhile:  # noqa: N801 - reads as a statement
    """Does something to the container of the test as soon as it runs, while the block waits for its end."""

    def __init__(self, world: DockerWorld, act: Callable[[str], object]) -> None:
        self._world, self._act = world, act
        self._thread = Thread(target=self._watch)
        self._acted = False

    def _watch(self) -> None:
        for _ in range(600):
            running = [found for found in self._world.containers() if found["State"] == "running"]
            if running:
                time.sleep(1)  # it has said its first words by then
                self._act(str(running[0]["Id"]))
                self._acted = True
                return
            time.sleep(0.05)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        assert self._acted


def said(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> str:
    """Everything that was logged."""
    captured = capfd.readouterr()
    return caplog.text + captured.out + captured.err
