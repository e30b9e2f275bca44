"""Ports."""

from __future__ import annotations

import socket

from twinserve_local.ports import free_port, is_free


def test_a_taken_port_is_replaced_by_another() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        assert not is_free(taken)
        assert free_port(taken) != taken
    assert is_free(taken)
    assert free_port(taken) == taken
