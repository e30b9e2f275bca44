"""Which calls are recognised, and what they become."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docker_gate.calls import recognised
from docker_gate.refusal import Refusal

ID = "f" * 64


@pytest.mark.parametrize(
    ("method", "target", "forwarded"),
    [
        ("GET", "/_ping", "/_ping"),
        ("HEAD", "/v1.41/_ping", "/v1.41/_ping"),
        ("GET", "/version", "/version"),
        ("GET", "/v1.41/containers/json?all=1&limit=-1&filters=%7B%7D", "/v1.41/containers/json?all=1"),
        ("POST", "/v1.41/containers/create?name=task-a.b_c-1", "/v1.41/containers/create?name=task-a.b_c-1"),
        ("GET", "/v1.41/containers/some-name/json", f"/v1.41/containers/{ID}/json"),
        ("POST", "/v1.41/containers/a/attach?stdout=1&stream=1", f"/v1.41/containers/{ID}/attach?stdout=1&stream=1"),
        ("POST", "/v1.41/containers/a/start", f"/v1.41/containers/{ID}/start"),
        ("POST", "/v1.41/containers/a/wait", f"/v1.41/containers/{ID}/wait"),
        ("POST", "/v1.41/containers/a/stop?t=3", f"/v1.41/containers/{ID}/stop?t=3"),
        ("DELETE", "/v1.41/containers/a?v=False&link=False&force=True",
         f"/v1.41/containers/{ID}?v=False&link=False&force=True"),
    ],
)  # fmt: skip
def test_what_tasks_need_is_recognised(method: str, target: str, forwarded: str) -> None:
    assert recognised(method, target).target(ID) == forwarded


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/"), ("GET", "*"), ("CONNECT", "docker:1"), ("GET", "/info"), ("GET", "/events"),
        ("GET", "http://docker/v1.41/containers/json"), ("GET", "//v1.41/containers/json"),
        ("GET", "/v1.41/../containers/a/json"), ("GET", "/v1.41/containers/../images/json"),
        ("GET", "/v1.41/containers/%2e%2e/json"), ("GET", "/v1.41/containers/a%2fb/json"),
        ("GET", "/v1.41/containers/a/../b/json"), ("GET", "/v1.41/v1.41/containers/a/json"),
        ("GET", "/v1.41/containers//json"), ("GET", "/v1.41/containers/a/json/"), ("GET", "/v1.41/containers/a/json#x"),
        ("GET", "/v1.41/containers/-a/json"), ("GET", "/v1.41/containers/.a/json"),
        ("GET", "/v1.41/containers/a/json\n"), ("GET", "/v1.\u0664\u0661/containers/a/json"),
        ("GET", "/V1.41/containers/a/json"), ("GET", "/containers/a/json"), ("GET", "/v1.18/containers/a/json"),
        ("get", "/v1.41/containers/a/json"), ("POST", "/v1.41/containers/a/json"),
        ("POST", "/v1.41/containers/a/exec"), ("GET", "/v1.41/containers/a/archive?path=/"),
        ("PUT", "/v1.41/containers/a/archive?path=/"), ("POST", "/v1.41/containers/a/update"),
        ("POST", "/v1.41/containers/a/rename?name=b"), ("GET", "/v1.41/containers/a/attach/ws"),
        ("GET", "/v1.41/containers/a/export"), ("POST", "/v1.41/containers/prune"), ("POST", "/v1.41/images/create"),
        ("POST", "/v1.41/build"), ("POST", "/v1.41/volumes/create"), ("POST", "/v1.41/networks/create"),
        ("DELETE", "/v1.41/volumes/twinserve_data"), ("POST", "/v1.41/commit"), ("POST", "/session"),
        ("POST", "/v1.41/containers/a/start?x=1"), ("POST", "/v1.41/containers/a/stop?t=-1"),
        ("POST", "/v1.41/containers/a/stop?t=3&t=4"), ("POST", "/v1.41/containers/a/attach?stdin=1"),
        ("DELETE", "/v1.41/containers/a?link=1"), ("POST", "/v1.41/containers/create?name=redis"),
        ("POST", "/v1.41/containers/create?name=task-a%0ab"), ("POST", "/v1.41/containers/create?platform=x"),
        ("POST", "/v1.41/containers/a/start?&"), ("POST", "/v1.41/containers/a/stop?t=3;t=99"),
    ],
)  # fmt: skip
def test_all_else_is_refused(method: str, target: str) -> None:
    with pytest.raises(Refusal):
        recognised(method, target)


PIECES = st.sampled_from(["/", "v1.41", "containers", "json", "..", "%2e", "a", "start", "exec", "?", "t=1", "&", "#"])


@given(st.sampled_from(["GET", "POST", "DELETE", "PUT"]), st.lists(PIECES, max_size=12).map("".join))
def test_what_is_forwarded_has_one_of_few_shapes(method: str, target: str) -> None:
    try:
        forwarded = recognised(method, target).target(ID)
    except Refusal:
        return
    shape = rf"(/v1\.41)?(/_ping|/version|/containers/(json|create|{ID}(/(json|attach|start|wait|stop))?)(\?t=1)?)"
    assert re.fullmatch(shape, forwarded)
