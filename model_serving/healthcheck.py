"""The image's health check, `healthcheck.py PORT`: whether the service is ready; a batch command is always well.

It runs every few seconds, so it imports nothing that takes long, ours included.
"""

from __future__ import annotations

import sys
import urllib.request
from pathlib import Path

TIMEOUT_SECONDS = 4.0


def main(port: str) -> int:
    """The exit code for Docker: 0 well, 1 not."""
    if b"serve" not in Path("/proc/1/cmdline").read_bytes().split(b"\0"):
        return 0
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{int(port)}/readyz", timeout=TIMEOUT_SECONDS).close()
    except OSError as error:  # refused, too slow, or an answer of 400 and more
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
