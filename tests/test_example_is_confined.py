"""A team swaps the example by editing a few places; nothing else may know what it is about."""

from __future__ import annotations

import re
import subprocess

from platform_under_test import ROOT

KNOWS_THE_EXAMPLE = (
    "data_pipeline/feature_repo/",
    "data_pipeline/src/data_pipeline/sample_world/",
    "training_pipeline/params.yaml",
    "deployment/local/src/twinserve_local/demo.yaml",
    "benchmarks/world.yaml",
    "docs/",
    "findings/",  # run without Twinserve, on Feast's own examples
    "README.md",
)
# the request field, which may show in an example; how Compose keeps logs; SQLAlchemy's way past itself
OTHER_MEANINGS = re.compile("driver_ids|driver: json-file|exec_driver_sql")
WORD = re.compile(r"(?<![a-z])drivers?(?![a-z])", re.IGNORECASE)


def test_the_example_is_named_in_its_own_places_only() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    files = [
        name
        for name in tracked.stdout.splitlines()
        if not name.startswith(KNOWS_THE_EXAMPLE)
        and "/tests/" not in f"/{name}"
        and not name.endswith((".lock", ".png"))
    ]
    found = [
        f"{name}:{number}"
        for name in files
        if (ROOT / name).is_file()
        for number, line in enumerate((ROOT / name).read_text(encoding="utf-8").splitlines(), 1)
        if WORD.search(OTHER_MEANINGS.sub("", line))
    ]
    assert found == []
