"""Which of HAProxy's servers count as asked, from what HAProxy 2.6 prints."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SAID = """\
1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change
3 online 1 online1 192.168.32.4 2 0 1 1 31
3 online 2 online2 192.168.32.5 2 0 1 1 1
3 online 3 online3 192.168.32.6 0 0 1 1 40
3 online 4 online4 192.168.32.7 2 32 1 1 40
3 online 5 online5 - 0 32 1 1 61

"""


def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gateway_servers", Path(__file__).parents[1] / "gateway_servers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_only_servers_that_have_been_up_for_a_moment_count() -> None:
    assert program().ready_addresses(SAID) == ["192.168.32.4"]


def test_no_server_is_an_empty_list() -> None:
    assert program().ready_addresses("\n".join(SAID.splitlines()[:2])) == []


def test_a_gateway_that_does_not_run_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert program().main() == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("the gateway does not answer: ")
    assert said.err.count("\n") == 1
