"""Lets through to the Docker engine what a pipeline's task needs, and nothing else; runs until SIGTERM or Ctrl-C.

Its settings are variables of the environment. Needed: GATE_IMAGES, GATE_VOLUME, GATE_NETWORK. With a default:
GATE_MAX_MEMORY, GATE_SOCKET, GATE_HOST, GATE_PORT.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys

from docker_gate.gate import Gate
from docker_gate.settings import BadSetting, GateSettings


def main() -> None:
    """The program."""
    argparse.ArgumentParser(prog="docker-gate", description=__doc__).parse_args()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO, stream=sys.stdout)
    try:
        asyncio.run(_serve(GateSettings.of(os.environ)))
    except BadSetting as error:
        raise SystemExit(f"docker-gate: {error}") from None
    except OSError as error:
        raise SystemExit(f"docker-gate: can't listen: {error}") from None


async def _serve(settings: GateSettings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = await Gate(settings).start()
    address, port = server.sockets[0].getsockname()[:2]
    logging.getLogger("docker_gate").info("listening on %s:%d, engine at %s", address, port, settings.socket)
    await stop.wait()
    server.close()
