"""Disk space for a worker's metrics, taken before it counts anything.

prometheus_client keeps what a worker counts in files that are mapped into its memory and have holes: where the disk is
full, the first number in a new page ends the process by SIGBUS. A file that is there, zeros with blocks of their own,
is used as it is.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from twinserve.errors import TransientError

# bytes, by what prometheus_client calls the files; every error code with two versions of a model takes half
SIZES = {
    "counter": 1 << 17,
    "histogram": 1 << 20,
    "gauge_all": 1 << 16,
    "gauge_livesum": 1 << 16,
    "gauge_mostrecent": 1 << 16,
}


def reserve_metric_files(folder: Path) -> None:
    """Make this process's files in BentoML's folder of metrics; before any metric is made. Workers that are gone
    give back what they did not use: one that dies again and again would fill the disk.

    Raises:
        TransientError: the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob("*_*.db"):
        if _is_gone(int(left.stem.rpartition("_")[2])):
            _trim(left)
    for kind, size in SIZES.items():
        file = os.open(folder / f"{kind}_{os.getpid()}.db", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(file, 0, size)
        except OSError as error:
            raise TransientError(f"no room for metrics in {folder}: {error.strerror}", fix="Make room") from error
        finally:
            os.close(file)


def _is_gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # somebody else's by now
        pass
    return False


def _trim(file: Path) -> None:
    """Cut off what prometheus_client does not read: the file begins with the number of bytes that are used."""
    with file.open("r+b") as content:
        (used,) = struct.unpack("i4x", content.read(8))
        content.truncate(max(used, 8))
