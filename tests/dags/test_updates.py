"""What a command must say for its asset to count as updated."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk import AssetAlias
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.execution_time.context import OutletEventAccessors

from feature_assets import OFFLINE_FEATURES, updated
from pipeline_task import pipeline_task


def test_the_counts_are_the_commands() -> None:
    assert updated({"updated": {"rows": 3, "days": 1}, "run_key": "r"}) == {"rows": 3, "days": 1}


@pytest.mark.parametrize("result", [None, {}, [], {"updated": None}, {"updated": 3}])
def test_a_command_that_does_not_say_fails(result: Any) -> None:
    with pytest.raises(AirflowFailException, match="does not say what it updated"):
        updated(result)


@pytest.mark.parametrize("runtime", ["local", "docker"])
def test_a_task_announces_its_updates_in_every_runtime(monkeypatch: pytest.MonkeyPatch, runtime: str) -> None:
    monkeypatch.setenv("TWINSERVE_TASK_RUNTIME", runtime)
    task, silent = pipeline_task("a", ["tool"], updates=OFFLINE_FEATURES), pipeline_task("b", ["tool"])
    (alias,) = task.outlets
    assert alias == AssetAlias("offline_features_updates")
    assert silent.outlets == []
    events = OutletEventAccessors()
    announce: Any = task._post_execute_hook
    for counts in ({"rows": 0, "days": 0}, {"rows": 0, "days": 1}):
        announce({"outlet_events": events, "run_id": "r"}, {"updated": counts})
    (event,) = events[alias].asset_alias_events
    assert event.dest_asset_key.uri == OFFLINE_FEATURES.uri
    assert event.extra == {"rows": 0, "days": 1, "run_key": "r"}
