"""What a container may be."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docker_gate.container_body import FORCED, checked
from docker_gate.refusal import Refusal
from docker_gate.settings import GateSettings

SETTINGS = GateSettings("local/twinserve", "twinserve_data", "twinserve_backend", 1 << 30, "/s", "127.0.0.1", 0)
MOUNT = {"Type": "volume", "Source": "twinserve_data", "Target": "/var/lib/twinserve", "ReadOnly": False}
# as the Docker client for Python sends it
ALLOWED: dict[str, Any] = {
    "Hostname": None, "Domainname": None, "ExposedPorts": None, "User": None, "Tty": False, "OpenStdin": False,
    "StdinOnce": False, "AttachStdin": False, "AttachStdout": True, "AttachStderr": True,
    "Env": ["TWINSERVE_REDIS_URL=redis://redis"], "Cmd": ["data-pipeline", "ingest", "--run-key=x"],
    "Image": "local/twinserve/data_pipeline:v1-3-gabc", "Volumes": None, "NetworkDisabled": False, "Entrypoint": None,
    "WorkingDir": None, "NetworkingConfig": None, "MacAddress": None, "StopSignal": None, "Healthcheck": None,
    "Labels": {"io.twinserve.task": "dag.task", "io.twinserve.run": "manual"}, "StopTimeout": None, "Runtime": None,
    "HostConfig": {
        **FORCED, "Memory": 1 << 29, "MemorySwap": 1 << 29, "NanoCpus": 10**9, "NetworkMode": "twinserve_backend",
        "Mounts": [MOUNT], "PidsLimit": 1024, "Init": True,
    },
}  # fmt: skip


def body(config: Any = None, **host: Any) -> bytes:
    """An allowed body with other fields in `config` and in its HostConfig."""
    made = copy.deepcopy(ALLOWED) | (config or {})
    made["HostConfig"] |= host
    return json.dumps(made).encode()


# the names that are forwarded; all others are not, whatever they hold
KNOWN = {"Image", "Cmd", "Env", "Labels", "User", "AttachStdout", "AttachStderr", "HostConfig"}
KNOWN_OF_HOST = {*ALLOWED["HostConfig"], "CpuShares"}
FORWARDED = {name: value for name, value in ALLOWED.items() if name in KNOWN}


def test_what_a_task_sends_is_allowed_and_forwarded_without_what_is_empty() -> None:
    config, forwarded = checked(body(), SETTINGS)
    assert json.loads(forwarded) == config == FORWARDED


def test_what_is_not_said_is_made_safe() -> None:
    left = {name: value for name, value in ALLOWED["HostConfig"].items() if name not in {*FORCED, "MemorySwap"}}
    sent = json.dumps({**ALLOWED, "HostConfig": left}).encode()
    forwarded = json.loads(checked(sent, SETTINGS)[1])
    assert forwarded == FORWARDED


HOST: dict[str, list[Any]] = {
    "Privileged": [True, 1, "true"], "Binds": [["/:/host"], ["/var/run/docker.sock:/s"]], "CapAdd": [["SYS_ADMIN"]],
    "CapDrop": [["NET_RAW"], "ALL"], "Devices": [[{"PathOnHost": "/dev/sda"}]], "DeviceCgroupRules": [["a *:* rwm"]],
    "DeviceRequests": [[{"Count": -1}]], "PidMode": ["host", "container:x"], "IpcMode": ["host", "shareable"],
    "UsernsMode": ["host"], "UTSMode": ["host"], "CgroupnsMode": ["host"], "CgroupParent": ["/"], "Cgroup": ["x"],
    "NetworkMode": ["host", "bridge", "none", "", None, "container:x", "default", "twinserve_backend "],
    "SecurityOpt": [["seccomp=unconfined"], ["apparmor=unconfined"], ["no-new-privileges", "label=disable"],
                    ["no-new-privileges:false"]],
    "Memory": [0, None, -1, (1 << 30) + 1, True, 1.5, "1g", 10**30], "MemorySwap": [-1, 1 << 31],
    "OomKillDisable": [True], "OomScoreAdj": [-1000], "MemorySwappiness": [100], "KernelMemory": [1],
    "Mounts": [[MOUNT, MOUNT], [{**MOUNT, "Type": "bind", "Source": "/"}], [{**MOUNT, "Source": "other"}],
               [{**MOUNT, "Target": "/etc"}], [{**MOUNT, "VolumeOptions": {"DriverConfig": {"Name": "local"}}}],
               [{**MOUNT, "BindOptions": {"Propagation": "shared"}}], [{"Type": "tmpfs", "Target": "/x"}], ["x"], "x",
               [{**MOUNT, "ReadOnly": "x"}], [{**MOUNT, "VolumeOptions": {"x": None}}]],
    "Tmpfs": [{"/etc": ""}, {"/tmp": "exec"}, {"/tmp": "", "/x": ""}], "ReadonlyRootfs": ["x"],  # noqa: S108
    "VolumesFrom": [["other"]], "VolumeDriver": ["x"], "Links": [["redis:db"]], "Sysctls": [{"kernel.x": "1"}],
    "Ulimits": [[{"Name": "nofile"}]], "Runtime": ["runc"], "Isolation": ["x"], "PortBindings": [{"80/tcp": []}],
    "PublishAllPorts": [True], "ExtraHosts": [["redis:1.2.3.4"]], "Dns": [["1.2.3.4"]], "GroupAdd": [["docker"]],
    "RestartPolicy": [{"Name": "always"}], "AutoRemove": [True], "StorageOpt": [{"size": "1"}], "ShmSize": [1 << 40],
    "MaskedPaths": [["/x"]], "ReadonlyPaths": [["/x"]], "Annotations": [{"x": ""}], "ContainerIDFile": ["/x"],
    "LogConfig": [{"Type": "syslog", "Config": {"syslog-address": "tcp://x"}}, {"Type": "json-file", "Config": {}}],
    "PidsLimit": [0, -1, None, 1 << 20], "NanoCpus": [-1, 10**20, "1"], "CpuShares": [-1], "Init": ["/bin/sh"],
    "privileged": [True], "PRIVILEGED": [True], "\u017fecurityOpt": [["x"]], "CpusetCpus": ["0"],
}  # fmt: skip
CONTAINER: dict[str, list[Any]] = {
    "Image": ["local/twinserve/data_pipeline", "local/twinserve/x/../y:1", "local/twinserve2/x:1", "redis:7", None, "",
              "local/twinserve/data_pipeline:1\n", "evil/local/twinserve/x:1", "local/twinserve/x@sha256:" + "a" * 64],
    "User": ["root", "0", "0:0", "00", "1000:0", "+0", "-1", "twinserve", 0.5],
    "Cmd": [None, [], "sh -c x", [1], ["x"] * 2000], "Env": ["A=1", [1], {"A": "1"}], "Entrypoint": [["sh"], "sh"],
    "Labels": [None, {}, {"io.twinserve.run": "x"}, {"io.twinserve.task": ""}, ["io.twinserve.task"],
               {"io.twinserve.task": "x", "com.docker.compose.project": "twinserve"}, {"io.twinserve.task": 1}],
    "Volumes": [{"/x": {}}], "ExposedPorts": [{"80/tcp": {}}], "NetworkingConfig": [{"EndpointsConfig": {"other": {}}}],
    "Hostname": ["redis"], "Domainname": ["x"], "MacAddress": ["x"], "Tty": [True], "OpenStdin": [True],
    "AttachStdin": [True], "AttachStdout": ["x"], "WorkingDir": ["/"], "StopSignal": ["SIGCONT"], "Shell": [["sh"]],
    "Healthcheck": [{"Test": ["CMD", "x"]}], "OnBuild": [["x"]], "StopTimeout": [9999], "image": ["redis:7"],
    "hostconfig": [{"Privileged": True}], "HostConfig": [None, [], "x"], "Runtime": ["x"],
}  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in HOST.items() for value in values])
def test_a_dangerous_host_setting_is_refused_by_its_name(name: str, value: Any) -> None:
    with pytest.raises(Refusal, match=f"HostConfig.{name}="):
        checked(body(**{name: value}), SETTINGS)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in CONTAINER.items() for value in values])
def test_a_dangerous_setting_of_the_container_is_refused_by_its_name(name: str, value: Any) -> None:
    made = json.dumps({**ALLOWED, name: value}).encode()
    with pytest.raises(Refusal, match=name):
        checked(made, SETTINGS)


FULL = st.recursive(
    st.integers().filter(bool) | st.text(min_size=1) | st.just(True),
    lambda inner: st.lists(inner, min_size=1) | st.dictionaries(st.text(), inner, min_size=1),
    max_leaves=5,
)


EMPTY: tuple[Any, ...] = (None, False, 0, 0.0, "", [], {})


def variants(letter: str) -> list[str]:
    """All that the engine takes for this letter."""
    return [letter.lower(), letter.upper(), *{"s": "\u017f", "k": "\u212a"}.get(letter.lower(), "")]


def respelled(name: str) -> st.SearchStrategy[str]:
    """The same name to the engine, but spelled otherwise."""
    return st.tuples(*(st.sampled_from(variants(letter)) for letter in name)).map("".join).filter(lambda to: to != name)


def respellings(name: str) -> list[str]:
    """Some of them: all small, all large, and each letter that is not of ASCII."""
    odd = [name.replace(letter, to) for letter, to in zip("sSkK", "\u017f\u017f\u212a\u212a", strict=True)]
    return sorted({name.lower(), name.upper(), name.swapcase(), *odd} - {name})


@pytest.mark.parametrize(
    ("where", "name"), [*(("", name) for name in sorted(KNOWN)), *(("HostConfig", n) for n in sorted(KNOWN_OF_HOST))]
)
@pytest.mark.parametrize("value", [*EMPTY, True, 1, ["x"]])
def test_a_known_name_in_another_case_is_refused_even_if_it_says_nothing(where: str, name: str, value: Any) -> None:
    for other in respellings(name):
        made = copy.deepcopy(ALLOWED)
        (made[where] if where else made)[other] = value
        with pytest.raises(Refusal, match=f"{other}="):
            checked(json.dumps(made).encode(), SETTINGS)


def test_empty_fields_in_another_case_undo_nothing() -> None:
    undone = {
        "memory": 0, "memoryswap": 0, "pidslimit": 0, "capdrop": [], "securityopt": [], "readonlyrootfs": False,
        "logconfig": None, "tmpfs": None,
    }  # fmt: skip
    with pytest.raises(Refusal, match=r"HostConfig\.memory=0"):
        checked(body(**undone), SETTINGS)
    with pytest.raises(Refusal, match="hostconfig=null"):
        checked(body({"hostconfig": None}), SETTINGS)


@pytest.mark.parametrize("value", EMPTY)
@pytest.mark.parametrize("name", ["MaskedPaths", "ReadonlyPaths", "Privileged", "maskedpaths", "SomethingNew"])
def test_an_empty_field_of_the_host_without_a_rule_is_not_forwarded(name: str, value: Any) -> None:
    assert json.loads(checked(body(**{name: value}), SETTINGS)[1]) == FORWARDED


@pytest.mark.parametrize("value", EMPTY)
@pytest.mark.parametrize("name", ["Entrypoint", "Healthcheck", "NetworkingConfig", "entrypoint", "SomethingNew"])
def test_an_empty_field_of_the_container_without_a_rule_is_not_forwarded(name: str, value: Any) -> None:
    assert json.loads(checked(body({name: value}), SETTINGS)[1]) == FORWARDED


ANY_NAME = st.text() | st.sampled_from(sorted({*ALLOWED, *HOST, *CONTAINER})).flatmap(
    lambda name: st.just(name) | respelled(name)
)
FIELDS = st.dictionaries(ANY_NAME, st.sampled_from(EMPTY) | FULL, max_size=4)


@given(FIELDS, FIELDS, st.booleans())
def test_whatever_is_said_besides_what_is_forwarded_is_built_of_known_names(
    of_container: dict[str, Any], of_host: dict[str, Any], before: bool
) -> None:
    def mixed(fields: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
        return more | {name: value for name, value in fields.items() if name not in more} if before else fields | more

    sent = mixed(ALLOWED, of_container)
    if isinstance(sent["HostConfig"], dict):
        sent["HostConfig"] = mixed(sent["HostConfig"], of_host)
    try:
        forwarded = json.loads(checked(json.dumps(sent).encode(), SETTINGS)[1])
    except Refusal:
        return
    host = forwarded["HostConfig"]
    assert {*forwarded} <= KNOWN
    assert {*host} <= KNOWN_OF_HOST
    assert host.items() >= {**FORCED, "MemorySwap": host["Memory"]}.items()
    assert 0 < host["Memory"] <= SETTINGS.max_memory
    assert {name: sent[name] for name in forwarded if name != "HostConfig"} == {
        name: value for name, value in forwarded.items() if name != "HostConfig"
    }


@given(ANY_NAME, FULL, st.booleans())
def test_a_field_that_nobody_has_looked_at_is_refused(name: str, value: Any, in_host: bool) -> None:
    if name in (KNOWN_OF_HOST if in_host else KNOWN):
        return
    made = copy.deepcopy(ALLOWED)
    (made["HostConfig"] if in_host else made)[name] = value
    with pytest.raises(Refusal):
        checked(json.dumps(made).encode(), SETTINGS)


@given(st.sets(st.sampled_from([(n, i) for n, values in HOST.items() for i in range(len(values))]), min_size=1))
def test_no_mixture_of_dangerous_settings_passes(chosen: set[tuple[str, int]]) -> None:
    with pytest.raises(Refusal):
        checked(body(**{name: HOST[name][i] for name, i in chosen}), SETTINGS)


@pytest.mark.parametrize(
    "sent",
    [
        b"", b"null", b"[]", b"{", b"\xff", b"[" * 200_000, b'{"HostConfig": NaN}',
        b'{"Image": "redis:7", ' + json.dumps(ALLOWED).encode()[1:],
        json.dumps(ALLOWED).replace('"Memory":', '"Memory": 5, "Memory":').encode(),
        json.dumps(ALLOWED).replace("536870912", "1e400").encode(),
    ],
)  # fmt: skip
def test_a_body_that_can_be_read_in_two_ways_or_none_is_refused(sent: bytes) -> None:
    with pytest.raises(Refusal):
        checked(sent, SETTINGS)


@pytest.mark.parametrize("name", ["Env", "Cmd", "env", "CMD"])
def test_a_refusal_shows_no_environment_and_no_words(name: str) -> None:
    with pytest.raises(Refusal) as refused:
        checked(json.dumps({**ALLOWED, name: "secret"}).encode(), SETTINGS)
    assert "secret" not in refused.value.message
