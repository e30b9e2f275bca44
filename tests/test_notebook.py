"""The notebook of the profile `notebook`, its cells run one after the other against the embedded stores."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from platform_under_test import ROOT, Platform

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("example")]
NOTEBOOK: dict[str, Any] = json.loads((ROOT / "deployment" / "notebook" / "notebooks" / "features.ipynb").read_text())
CELLS = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
# what the last cell shows, by its columns; and that what it is made of is there for every key
CLOSING = """
best = _
assert list(best.columns) == [*keys, "score"], best.columns
assert len(best) == 10
assert best["score"].is_monotonic_decreasing
assert len(historical) == len(online) == len(entities) == 20
same = historical.merge(online, on=keys, suffixes=("", "_online"))
for column in contract.columns:
    assert (same[column] == same[f"{column}_online"]).all(), column
"""


def test_its_cells_run_in_order_and_past_and_present_agree(example: Platform) -> None:
    *cells, last = CELLS
    *lines, shown = last.splitlines()
    program = "\n\n".join([*cells, "\n".join([*lines, f"_ = {shown}"]), CLOSING])
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=example.environment,
        cwd=example.home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_it_is_kept_without_outputs() -> None:
    assert all(not cell.get("outputs") and not cell.get("execution_count") for cell in NOTEBOOK["cells"])
