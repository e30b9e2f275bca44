"""What a command must say for its asset to count as updated."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from feature_assets import updated


def test_the_counts_are_the_commands() -> None:
    assert updated({"updated": {"rows": 3, "days": 1}, "run_key": "r"}) == {"rows": 3, "days": 1}


@pytest.mark.parametrize("result", [None, {}, [], {"updated": None}, {"updated": 3}])
def test_a_command_that_does_not_say_fails(result: Any) -> None:
    with pytest.raises(AirflowFailException, match="does not say what it updated"):
        updated(result)
