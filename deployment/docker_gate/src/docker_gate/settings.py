"""What this gate lets through, from its environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
HIGHEST_PORT = 65_535


class BadSetting(Exception):
    """A variable that is missing or makes no sense."""


@dataclass(frozen=True)
class GateSettings:
    """One deployment's.

    Args:
        images: what the names of all images begin with, without the last slash.
        volume: the one volume that a container may have.
        network: the one network that it may be in.
        max_memory: the highest memory limit, in bytes.
        socket: path of the engine's socket.
        host: address to listen on.
        port: to listen on; 0: any free one.
    """

    images: str
    volume: str
    network: str
    max_memory: int
    socket: str
    host: str
    port: int

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> GateSettings:
        """Read them.

        Raises:
            BadSetting: names the variable.
        """
        return cls(
            images=_needed(environ, "GATE_IMAGES").rstrip("/"),
            volume=_needed(environ, "GATE_VOLUME"),
            network=_needed(environ, "GATE_NETWORK"),
            max_memory=_bytes("GATE_MAX_MEMORY", environ.get("GATE_MAX_MEMORY") or "8g"),
            socket=environ.get("GATE_SOCKET") or "/var/run/docker.sock",
            host=environ.get("GATE_HOST") or "0.0.0.0",  # noqa: S104 - of a container in a network of its own
            port=_port(environ.get("GATE_PORT") or "2375"),
        )


def _needed(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "").strip()
    if not value:
        raise BadSetting(f"{name} is not set")
    return value


def _bytes(name: str, text: str) -> int:
    found = re.fullmatch(r"([1-9]\d{0,12})([bkmg]?)", text.lower())
    if not found:
        raise BadSetting(f"{name}={text!r} is not an amount of memory, such as 8g")
    return int(found[1]) * UNITS[found[2]]


def _port(text: str) -> int:
    if not re.fullmatch(r"\d{1,5}", text) or int(text) > HIGHEST_PORT:
        raise BadSetting(f"GATE_PORT={text!r} is not a port")
    return int(text)
