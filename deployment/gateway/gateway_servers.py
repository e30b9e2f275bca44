#!/usr/bin/env python3
"""The addresses of the online containers that the gateway sends requests to, one a line.

`docker compose exec gateway gateway-servers` shows them to a person, and to the rolling deploy.
"""

from __future__ import annotations

import csv
import socket
import sys
from collections.abc import Mapping

SOCKET = "/tmp/gateway.sock"  # noqa: S108 - in the gateway's own container
BACKEND = "online"
UP = "2"  # https://docs.haproxy.org/2.6/management.html, "show servers state"
SETTLED_SECONDS = 2  # a server that has just got its address counts as up until its first check, half a second later


def main() -> int:
    """Print them; 1 where the gateway does not run."""
    try:
        said = ask("show servers state " + BACKEND)
    except OSError as error:
        sys.stderr.write(f"the gateway does not answer: {error}\n")
        return 1
    for address in ready_addresses(said):
        sys.stdout.write(f"{address}\n")
    return 0


def ask(command: str) -> str:
    """HAProxy's answer to a command on its socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(SOCKET)
        connection.sendall(command.encode() + b"\n")
        with connection.makefile() as answer:
            return answer.read()


def ready_addresses(servers_state: str) -> list[str]:
    """The addresses of the servers that are up, have been for a moment, and are not in maintenance.

    Args:
        servers_state: a line with the version of the format, one with the columns, one for each server.
    """
    lines = servers_state.strip().splitlines()[1:]
    rows = csv.DictReader((line.removeprefix("# ") for line in lines), delimiter=" ")
    return sorted({row["srv_addr"] for row in rows if _is_up(row)})


def _is_up(row: Mapping[str, str]) -> bool:
    settled = int(row["srv_time_since_last_change"]) >= SETTLED_SECONDS
    return row["srv_op_state"] == UP and row["srv_admin_state"] == "0" and settled


if __name__ == "__main__":
    sys.exit(main())
