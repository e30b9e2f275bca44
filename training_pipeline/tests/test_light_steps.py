"""Steps that train nothing import no scikit-learn, and no database client where they read no database."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("step", ["data_validation", "data_preparation"])
def test_what_a_step_leaves_out(step: str) -> None:
    left_out = {"sklearn", "sqlalchemy", "feast"}
    code = f"import sys, training_pipeline.steps.{step}; print(*{left_out} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
