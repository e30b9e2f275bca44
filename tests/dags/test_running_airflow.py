"""The DAG files in a running Airflow, with stand-ins for the pipelines' commands: who starts whom, and backfills.

The tests share one Airflow, and each leaves all DAGs paused and nothing running.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from alert_receiver import AlertReceiver, alert_receiver
from running_airflow import RunningAirflow, running_airflow
from waiting import until

ROOT = Path(__file__).parents[2]
FOLDERS = {name: ROOT / name / "dags" for name in ("data_pipeline", "training_pipeline", "model_serving")}
WAITING = ("batch_serving_pipeline", "materialize_offline_to_online", "training_pipeline")
DAGS = ("db_to_offline_store", *WAITING)
COMMAND = """#!/bin/sh
printf '%s\\n' "$(basename $0) $*" >> {calls}
case "$*" in *{broken}*) echo 'BadInput: no column id' >&2; exit 65;; esac
printf '{{"updated": {{"rows": %d}}, "shards": %d}}\\n' "$(cat {rows})" "$(cat {shards})"
"""


@dataclass
class World:
    """A running Airflow, and commands that say what they are told to."""

    airflow: RunningAirflow
    folder: Path
    receiver: AlertReceiver

    def finds(self, rows: int) -> None:
        """Commands say that they changed so many rows."""
        (self.folder / "rows").write_text(str(rows))

    def extracts(self, shards: int) -> None:
        """Commands say that they have found so many shards."""
        (self.folder / "shards").write_text(str(shards))

    def breaks(self, word: str) -> None:
        """Commands with this word among their arguments fail for good."""
        write_commands(self.folder, word)

    def calls(self) -> list[str]:
        """The commands that were run since the last time, with their arguments."""
        file = self.folder / "calls"
        found = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return found

    def is_quiet(self) -> bool:
        """Whether no run is left to be done."""
        return all(state in ("success", "failed") for dag in DAGS for state in self.airflow.states(dag).values())


def write_commands(folder: Path, broken: str) -> None:
    """The three console scripts."""
    for name in ("data-pipeline", "training-pipeline", "model-serving"):
        file = folder / "venv" / "bin" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        places = {name: folder / name for name in ("calls", "rows", "shards")}
        file.write_text(COMMAND.format(broken=broken, **places))
        file.chmod(0o755)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    write_commands(folder, "nothing")
    home = tmp_path_factory.mktemp("airflow")
    variables = {"TWINSERVE_VENV": str(folder / "venv"), "TWINSERVE_TASK_RUNTIME": "local"}
    with alert_receiver() as receiver:
        variables["TWINSERVE_ALERTMANAGER_URL"] = receiver.url
        with running_airflow(home, FOLDERS, **variables) as airflow:
            yield World(airflow, folder, receiver)


@pytest.fixture
def world(started: World) -> Iterator[World]:
    started.finds(0)
    started.extracts(1)
    yield started
    for dag_id in DAGS:
        started.airflow.pause(dag_id, paused=True)
    started.breaks("nothing")
    assert started.is_quiet()
    started.calls()


def test_dags_are_paused_until_somebody_wants_them(world: World) -> None:
    assert all(world.airflow.call("GET", f"/dags/{dag_id}")["is_paused"] for dag_id in DAGS)
    assert not any(world.airflow.runs(dag_id) for dag_id in DAGS)


def test_an_ingest_that_changed_nothing_starts_nobody_and_one_that_did_starts_each_once(world: World) -> None:
    for dag_id in WAITING:
        world.airflow.pause(dag_id, paused=False)
    # a daily DAG that is switched on does the day that is over
    world.airflow.pause("db_to_offline_store", paused=False)
    until("one run, well ended", lambda: list(world.airflow.states("db_to_offline_store").values()) == ["success"])
    (daily,) = world.airflow.runs("db_to_offline_store")
    assert daily["run_type"] == "scheduled"
    ingest, *_ = world.calls()
    assert ingest == f"data-pipeline ingest --run-key={daily['dag_run_id']}"  # goes by its watermark, not by dates
    assert world.airflow.events("offline_features") == []
    world.finds(5)
    assert world.airflow.trigger("db_to_offline_store") == "success"
    until("all ran", lambda: all("success" in world.airflow.states(dag_id).values() for dag_id in WAITING))
    until("nothing runs", world.is_quiet)
    for dag_id in WAITING:
        assert [run["run_type"] for run in world.airflow.runs(dag_id)] == ["asset_triggered"]
    (event,) = world.airflow.events("offline_features")
    assert event["rows"] == 5
    assert event["run_key"].startswith("manual__")
    (event,) = world.airflow.events("online_features")
    assert event["run_key"].startswith("asset_triggered__")
    (batch,) = world.airflow.runs("batch_serving_pipeline")
    key, began = batch["dag_run_id"], batch["run_after"].replace("Z", "+00:00")
    assert [call for call in world.calls() if "data-extraction --run-key=asset" in call and "model" in call] == [
        f"model-serving batch data-extraction --run-key={key} --as-of={began}"
    ]


def test_ingest_again_and_score_by_date(world: World) -> None:
    dag_ids = ("db_to_offline_store", "batch_serving_pipeline")

    def backfill(first: str, last: str, behavior: str = "none") -> None:
        """One by the command line, one by the API."""
        words = ("--from-date", first, "--to-date", last, "--reprocess-behavior", behavior)
        body = {
            "dag_id": "batch_serving_pipeline",
            "from_date": f"{first}T00:00:00Z",
            "to_date": f"{last}T00:00:00Z",
            "reprocess_behavior": behavior,
            "dag_run_conf": {"input_path": "/requests/{date}.csv"},
        }
        with world.airflow.standing_still():
            world.airflow.command("backfill", "create", "--dag-id", "db_to_offline_store", *words)
            world.airflow.call("POST", "/backfills", json=body)
        until("nothing runs", world.is_quiet)

    for dag_id in dag_ids:
        world.airflow.pause(dag_id, paused=False)
    until("nothing runs", world.is_quiet)
    world.calls()
    backfill("2026-01-05", "2026-01-07")
    days = [f"2026-01-0{day}" for day in (5, 6, 7, 8)]
    expected = []
    for day, end in pairwise(days):
        since, before, scored = f"{day}T00:00:00+00:00", f"{end}T00:00:00+00:00", f"--run-key={day}"
        expected += [
            f"data-pipeline ingest --run-key=backfill-{day} --since={since} --until={before}",
            f"data-pipeline clean --run-key=backfill-{day}",
            f"data-pipeline explore-and-validate --run-key=backfill-{day}",
            f"model-serving batch feature-store-init {scored}",
            f"model-serving batch data-extraction {scored} --input=/requests/{day}.csv --as-of={before}",
            f"model-serving batch batch-prediction {scored} --shard=0",
        ]
    assert sorted(world.calls()) == sorted(expected)
    until("the backfills' end", lambda: not any(map(world.airflow.backfills, dag_ids)))
    backfill("2026-01-06", "2026-01-06", "completed")
    assert sorted(world.calls()) == sorted(expected[6:12])


def test_by_hand_the_day_is_the_last_one_that_was_over(world: World) -> None:
    world.airflow.pause("batch_serving_pipeline", paused=False)
    conf = {"input_path": "/requests/{date}.csv", "run_key": "daily-{date}", "as_of": "2026-01-31T12:00:00Z"}
    assert world.airflow.trigger("batch_serving_pipeline", **conf) == "success"
    began = max(run["run_after"] for run in world.airflow.runs("batch_serving_pipeline"))
    (call,) = [call for call in world.calls() if "data-extraction" in call]
    day = f"{datetime.fromisoformat(began) - timedelta(days=1):%Y-%m-%d}"
    assert call == (
        f"model-serving batch data-extraction --run-key=daily-{day} --input=/requests/{day}.csv"
        " --as-of=2026-01-31T12:00:00Z"
    )


def test_a_large_input_is_scored_by_a_task_for_each_shard(world: World) -> None:
    dag_id = "batch_serving_pipeline"
    world.extracts(3)
    world.airflow.pause(dag_id, paused=False)
    assert world.airflow.trigger(dag_id, run_key="large") == "success"
    scored = [call for call in world.calls() if "batch-prediction" in call]
    assert sorted(scored) == [
        f"model-serving batch batch-prediction --run-key=large --shard={shard}" for shard in range(3)
    ]
    run_id = max(world.airflow.runs(dag_id), key=lambda run: run["run_after"])["dag_run_id"]
    tasks = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
    found = world.airflow.call("GET", tasks)["task_instances"]
    assert sorted(t["map_index"] for t in found if t["task_id"] == "batch_prediction_task") == [0, 1, 2]
    entry = world.airflow.call("GET", f"{tasks}/data_extraction_task/xcomEntries/result", params={"deserialize": True})
    assert entry["value"]["shards"] == 3
    last = f"{tasks}/batch_prediction_task/xcomEntries/return_value"
    assert world.airflow.call("GET", last, params={"map_index": 2, "deserialize": True})["value"]["shards"] == 3


def test_one_shard_that_fails_is_an_alert_until_a_whole_run_is_well(world: World) -> None:
    world.extracts(3)
    world.airflow.pause("batch_serving_pipeline", paused=False)
    world.receiver.posted.clear()
    world.breaks("shard=1")
    assert world.airflow.trigger("batch_serving_pipeline") == "failed"

    def alerts(*, resolved: bool) -> list[dict[str, Any]]:
        ours = [a for a in world.receiver.alerts if a["labels"]["task_id"] == "batch_prediction_task"]
        return [a for a in ours if (a["endsAt"] == a["startsAt"]) == resolved]

    (failed,) = alerts(resolved=False)
    # the shards that were well have not resolved it: what a run tells, it tells by the DAG processor, some time later
    assert not [a for a in alerts(resolved=True) if a["startsAt"] > failed["startsAt"]]
    world.breaks("nothing")
    world.extracts(1)
    assert world.airflow.trigger("batch_serving_pipeline") == "success"
    until("it is resolved", lambda: [a for a in alerts(resolved=True) if a["startsAt"] > failed["startsAt"]])
    assert {str(a["labels"]) for a in alerts(resolved=True)} == {str(failed["labels"])}


def test_a_variable_of_airflow_names_the_input_of_runs_that_nobody_gives_one(world: World) -> None:
    world.airflow.call("POST", "/variables", json={"key": "batch_serving_input", "value": "/data/in.csv"})
    world.airflow.pause("batch_serving_pipeline", paused=False)
    assert world.airflow.trigger("batch_serving_pipeline") == "success"
    assert any("--input=/data/in.csv " in call for call in world.calls())
    world.airflow.call("DELETE", "/variables/batch_serving_input")


def test_a_failure_is_an_alert_until_the_task_succeeds(world: World) -> None:
    world.airflow.pause("materialize_offline_to_online", paused=False)
    world.receiver.posted.clear()
    world.breaks("materialize")
    assert world.airflow.trigger("materialize_offline_to_online") == "failed"
    world.breaks("nothing")
    assert world.airflow.trigger("materialize_offline_to_online") == "success"
    # a run of an earlier test may tell of itself only now
    failed, resolved = [a for a in world.receiver.alerts if a["labels"]["task_id"] == "materialize_task"]
    assert failed["labels"] == resolved["labels"]
    assert failed["annotations"]["summary"].endswith("exit code 65): BadInput: no column id")
    assert failed["endsAt"] > resolved["endsAt"]
