"""Peak resident memory of a process."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

KIB = 1024
STATUS = Path("/proc/self/status")


def own_peak() -> int:
    """Bytes that this process, or the largest that it started and waited for, had resident at most.

    Linux' VmHWM counts this program alone; `ru_maxrss` also what the process was before it became this program.
    """
    return max(_high_water(), _children())


def _high_water() -> int:
    if STATUS.exists():
        lines = (line.split() for line in STATUS.read_text(encoding="ascii").splitlines())
        return next(int(words[1]) * KIB for words in lines if words[0] == "VmHWM:")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS counts bytes


def _children() -> int:
    unit = KIB if sys.platform == "linux" else 1
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
