"""`--help` of a console script imports nothing that a step works with."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"twinserve.settings", "pydantic", "numpy", "pyarrow", "sqlalchemy", "pandas", "feast", "mlflow", "sklearn"}
PROGRAM = """
import importlib, sys
try:
    importlib.import_module(sys.argv[1]).main()
except SystemExit as leaving:
    assert not leaving.code
print(*sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize("package", ["data_pipeline", "training_pipeline", "model_serving"])
def test_help_is_light(package: str) -> None:
    code = PROGRAM.replace("sys.argv[1]", repr(f"{package}.__main__"))
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True)
    assert "Usage" in done.stdout
    assert not HEAVY & set(done.stderr.split())
