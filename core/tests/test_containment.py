"""What importing other people's libraries does to a command whose disk is full."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from small_disk import on_small_disk

pytestmark = pytest.mark.integration
FULL = """
import os, tempfile
from pathlib import Path
from twinserve.command.console import run_app

def step():
    # the first call tries the folder, and takes another if it can't write there: a disk may fill up after that
    filler = Path(tempfile.gettempdir()) / "filler"
    try:
        filler.write_bytes(bytes(1 << 20))
    except OSError:
        pass
    assert os.statvfs(filler).f_bavail == 0
    import feast.metrics
    feast.metrics.request_count.labels(endpoint="/x", status="y").inc()
    filler.unlink()

run_app(step)
"""


def test_importing_feast_needs_no_room_on_the_disk(tmp_path: Path) -> None:
    """It used to end by SIGBUS, with a folder left behind."""
    home = tmp_path / "home"
    environment = {name: text for name, text in os.environ.items() if not name.startswith("PROMETHEUS")}
    environment = {**environment, "TWINSERVE_HOME": str(home)}
    environment.pop("TMPDIR", None)
    ended = on_small_disk(home / "cache" / "tmp", "64k", [sys.executable, "-c", FULL], environment)
    assert (ended.code, ended.left) == (0, ()), ended.said
