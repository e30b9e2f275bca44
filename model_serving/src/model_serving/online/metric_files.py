"""Disk space for a worker's metrics, taken before it counts anything.

prometheus_client keeps what a worker counts in files that are mapped into its memory and have holes: where the disk is
full, the first number in a new page ends the process by SIGBUS. A file that is there, zeros with blocks of their own,
is used as it is.
"""

from __future__ import annotations

import os
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
    """Make this process's files in BentoML's folder of metrics; before any metric is made.

    Raises:
        TransientError: the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for kind, size in SIZES.items():
        file = os.open(folder / f"{kind}_{os.getpid()}.db", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(file, 0, size)
        except OSError as error:
            raise TransientError(f"no room for metrics in {folder}: {error.strerror}", fix="Make room") from error
        finally:
            os.close(file)
