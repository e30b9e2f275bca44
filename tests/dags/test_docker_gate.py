"""The gate between Docker's own client and a real engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import docker
import pytest
from docker.errors import APIError, NotFound
from docker_world import DockerWorld, docker_world

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerWorld]:
    """One for all tests."""
    with docker_world(tmp_path_factory.mktemp("image")) as made:
        yield made


@pytest.fixture
def guarded(world: DockerWorld) -> docker.APIClient:
    """A client that reaches the engine through the gate."""
    return docker.APIClient(base_url=world.gate.url, version="auto")


@pytest.fixture
def foreign(world: DockerWorld) -> Iterator[str]:
    """A container in the same network that no task has started."""
    config = world.client.create_host_config(network_mode=world.name)
    made = world.client.create_container(f"{world.name}/tool:1", ["sleep", "600"], host_config=config)
    world.client.start(made["Id"])
    yield str(made["Id"])
    world.client.remove_container(made["Id"], force=True)


def test_a_foreign_container_is_out_of_reach(guarded: docker.APIClient, world: DockerWorld, foreign: str) -> None:
    acts: list[Any] = [
        guarded.inspect_container, guarded.start, guarded.stop, guarded.wait, guarded.kill, guarded.remove_container,
        guarded.logs, guarded.top, guarded.pause, guarded.attach, guarded.commit, guarded.diff,
    ]  # fmt: skip
    for act in acts:
        with pytest.raises(APIError) as refused:
            act(foreign)
        assert refused.value.status_code == 403
    with pytest.raises(APIError, match="not among the calls"):
        guarded.exec_create(foreign, ["id"])
    assert guarded.containers(all=True) == []
    assert world.client.inspect_container(foreign)["State"]["Running"]


def test_nothing_but_containers_is_within_reach(guarded: docker.APIClient) -> None:
    acts: list[Any] = [guarded.info, guarded.images, guarded.volumes, guarded.networks, guarded.df, guarded.plugins]
    for act in acts:
        with pytest.raises(APIError, match="not among the calls"):
            act()
    with pytest.raises(APIError, match="not among the calls"):
        guarded.pull("redis:7")


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"privileged": True}, "Privileged"),
        ({"binds": ["/:/host"]}, "Binds"),
        ({"cap_add": ["SYS_ADMIN"]}, "CapAdd"),
        ({"devices": ["/dev/null:/dev/x"]}, "Devices"),
        ({"pid_mode": "host"}, "PidMode"),
        ({"network_mode": "host"}, "NetworkMode"),
        ({"security_opt": ["seccomp=unconfined"]}, "SecurityOpt"),
        ({"mem_limit": "8g"}, "Memory"),
        ({"volumes_from": ["other"]}, "VolumesFrom"),
        ({"restart_policy": {"Name": "always"}}, "RestartPolicy"),
    ],
)
def test_a_container_with_more_than_a_task_needs_is_refused(
    guarded: docker.APIClient, world: DockerWorld, settings: dict[str, Any], named: str
) -> None:
    basis = {"network_mode": world.name, "mem_limit": "64m", "pids_limit": 64}
    labels = {"io.twinserve.task": "dag.task"}
    name = "task-greedy"
    guarded.create_container(
        f"{world.name}/tool:1", ["id"], name=name, labels=labels, host_config=guarded.create_host_config(**basis)
    )
    guarded.remove_container(name)
    with pytest.raises(APIError, match=f"HostConfig.{named}=") as refused:
        guarded.create_container(
            f"{world.name}/tool:1", ["id"], name=name, labels=labels,
            host_config=guarded.create_host_config(**basis | settings),
        )  # fmt: skip
    assert refused.value.status_code == 403
    with pytest.raises(NotFound):
        guarded.inspect_container(name)


def created(world: DockerWorld, guarded: docker.APIClient, **more: Any) -> dict[str, Any]:
    """What the engine made of a body that the client for Python would not write."""
    host = guarded.create_host_config(
        network_mode=world.name, mem_limit="64m", memswap_limit="64m", pids_limit=64, cap_drop=["ALL"],
        security_opt=["no-new-privileges"], read_only=True, tmpfs={"/tmp": ""},  # noqa: S108 - in the container
    )  # fmt: skip
    config = guarded.create_container_config(f"{world.name}/tool:1", ["id"], labels={"io.twinserve.task": "dag.task"})
    sent = {**config, "HostConfig": {**host, **more.pop("host", {})}, **more}
    made = guarded.create_container_from_config(sent, "task-odd")["Id"]
    found: dict[str, Any] = world.client.inspect_container(made)
    world.client.remove_container(made)
    return found


def test_an_empty_field_does_to_the_engine_what_a_missing_one_does(
    guarded: docker.APIClient, world: DockerWorld
) -> None:
    plain = created(world, guarded)
    odd = created(world, guarded, Entrypoint=[], host={"MaskedPaths": [], "ReadonlyPaths": []})
    assert odd["Config"]["Entrypoint"] == plain["Config"]["Entrypoint"] is not None
    assert odd["HostConfig"] == plain["HostConfig"]
    assert "/proc/kcore" in odd["HostConfig"]["MaskedPaths"]
    assert odd["HostConfig"]["ReadonlyPaths"]


def test_empty_fields_in_another_case_undo_nothing(guarded: docker.APIClient, world: DockerWorld) -> None:
    undone: dict[str, Any] = {
        "memory": 0, "memoryswap": 0, "pidslimit": 0, "capdrop": [], "securityopt": [], "readonlyrootfs": False,
        "logconfig": None, "tmpfs": None,
    }  # fmt: skip
    bodies: list[dict[str, Any]] = [{"host": undone}, {"hostconfig": {}}, {"ho\u017ftConfig": {}}]
    for more in bodies:
        with pytest.raises(APIError) as refused:
            created(world, guarded, **more)
        assert refused.value.status_code == 403
