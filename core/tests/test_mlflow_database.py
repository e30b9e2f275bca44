"""The embedded MLflow's database is there whole, or not yet."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

KILLED_IN_IT = """
import sys
sys.path.insert(0, sys.argv[1])
from disk_acts import Acts
from twinserve.registry import Registry
from twinserve.settings import load_settings
Acts(frozenset({"commit"}), "/", kill_at=3).watch()
Registry(load_settings()).champion()
"""


@pytest.mark.integration
def test_a_kill_while_it_is_made_leaves_none(tmp_path: Path) -> None:
    support = Path(__file__).parents[2] / "tests" / "support"
    environment = {**os.environ, "TWINSERVE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", KILLED_IN_IT, str(support)], env=environment, capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "mlflow" / "mlflow.db").exists()
