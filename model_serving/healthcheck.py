"""The image's health check, `healthcheck.py PORT`: whether the service is ready; a batch command is always well.

It runs every few seconds, so it imports nothing that takes long, ours included.
"""

from __future__ import annotations

import sys
import urllib.request
from pathlib import Path

TIMEOUT_SECONDS = 4.0


def main(port: int) -> int:
    """The exit code for Docker: 0 well, 1 not."""
    if not serves(Path("/proc/1/cmdline").read_bytes()):
        return 0
    try:
        ask(port)
    except OSError as error:  # refused, too slow, or an answer of 400 and more
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def serves(command_line: bytes) -> bool:
    """Whether a command line, as in /proc, starts the service; Docker's own init may stand before it."""
    return b"serve" in command_line.split(b"\0")


def ask(port: int) -> None:
    """Look whether the service is ready.

    Raises:
        OSError: it is not.
    """
    urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=TIMEOUT_SECONDS).close()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
