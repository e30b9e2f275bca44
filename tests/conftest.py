"""The platform as its users run it: console scripts as processes, in a home of its own."""

from __future__ import annotations

import pytest
from platform_under_test import Platform


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """The shipped example with 10,000 keys: generated, ingested, materialized, trained, promoted."""
    platform = Platform(tmp_path_factory.mktemp("example"))
    platform.run("data-pipeline", "generate", "--drivers", "10000", "--days", "2", "--orders", "20000", "--seed", "3")
    platform.to_offline_store("first")
    platform.run("data-pipeline", "apply")
    platform.run("data-pipeline", "materialize")
    platform.train("first")
    return platform
