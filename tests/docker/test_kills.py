"""What ends a container, or Airflow itself, in the middle of a task: the rerun comes to the same as if nothing had."""

from __future__ import annotations

import json
import random
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from docker_platform import HOME, DockerPlatform
from platform_under_test import Platform
from two_runtimes import TASKS, Both, digests, run_dag
from waiting import until

pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("platform")]


STARTING_SECONDS = 0.5  # of a task, before its container runs


def one_more_day(start: datetime) -> str:
    """A day of hourly rows as a CSV file, the same for the same day."""
    dice = random.Random(11)
    lines = ["event_timestamp,driver_id,conv_rate,acc_rate,avg_daily_trips,created"]
    for hour in range(24):
        moment = (start + timedelta(hours=hour)).isoformat()
        lines += [
            f"{moment},{1001 + key},{dice.random():.6f},{dice.random():.6f},{dice.randrange(1000)},{moment}"
            for key in range(200)
        ]
    return "\n".join(lines) + "\n"


class Killer(threading.Thread):
    """Kills the first container of each task of a DAG, in the middle of its work.

    Args:
        seconds: how long each task took when it was left alone.
    """

    def __init__(self, stack: DockerPlatform, dag_id: str, seconds: Mapping[str, float]) -> None:
        super().__init__(daemon=True)
        self._stack, self._dag_id, self._seconds = stack, dag_id, seconds
        self._over = threading.Event()
        self.killed: set[str] = set()

    def run(self) -> None:
        """Look for containers until the end."""
        while not self._over.wait(0.05):
            for task, container in self._stack.running_tasks().items():
                task_id = task.removeprefix(f"{self._dag_id}.")
                if task_id not in self.killed:
                    self._kill(task_id, container)

    def _kill(self, task_id: str, container: str) -> None:
        # a second at most: the second ingest has less to do than the first
        time.sleep(min(1.0, max(0.1, self._seconds[task_id] / 2 - STARTING_SECONDS)))
        words = ["docker", "kill", "--signal", "KILL", container]
        if subprocess.run(words, check=False, capture_output=True).returncode == 0:
            self.killed.add(task_id)

    def stop(self) -> None:
        """Look no more."""
        self._over.set()
        self.join()


@contextmanager
def killing(stack: DockerPlatform, dag_id: str, seconds: Mapping[str, float]) -> Iterator[Killer]:
    """Kill the first container of every task of a DAG."""
    killer = Killer(stack, dag_id, seconds)
    killer.start()
    try:
        yield killer
    finally:
        killer.stop()


def test_every_container_killed_once_comes_to_what_the_laptop_comes_to(
    stack: DockerPlatform, laptop: Platform, first: Both, world_end: datetime, tmp_path: Path
) -> None:
    rows = one_more_day(world_end)
    source = laptop.home / "source" / "day.csv"
    source.write_text(rows)
    request = laptop.home / "source" / "batch_request.csv"
    published = laptop.to_offline_store("killed", "--source", str(source), "--view", "driver_stats")
    laptop.run("data-pipeline", "materialize")
    trained = laptop.train("killed")
    laptop.score("killed", request)

    conf = {
        "db_to_offline_store": {"source": stack.put("source/day.csv", rows), "view": "driver_stats"},
        "batch_serving_pipeline": {"run_key": "killed"},
    }
    results = {}
    with stack.api() as api:
        for dag_id in TASKS:
            alone = {task.task_id: task.seconds or 0.0 for task in api.tasks(dag_id, "first")}
            with killing(stack, dag_id, alone) as killer:
                results[dag_id] = run_dag(api, dag_id, "killed", conf.get(dag_id, {}))
            assert killer.killed == set(TASKS[dag_id])
            tries = {task.task_id: task.attempt for task in api.tasks(dag_id, "killed")}
            assert tries == dict.fromkeys(TASKS[dag_id], 2)

    validated = results["db_to_offline_store"]["explore_and_validate_task"]["views"]["driver_stats"]
    assert validated["rows_good"] == published["views"]["driver_stats"]["rows_good"] == 24 * 200
    assert results["training_pipeline"]["model_validation_task"]["metrics"] == trained["metrics"]
    for folder in ("offline", "predictions"):
        assert digests(stack.files(folder, tmp_path)) == digests(laptop.home / folder)
    assert stack.task_containers() == []


def test_a_scheduler_that_restarts_in_mid_run_finishes_the_run(stack: DockerPlatform, first: Both) -> None:
    dag_id, run_id = "training_pipeline", "restarted"
    with stack.api() as api, api.switched_on(dag_id):
        api.trigger(dag_id, run_id, {})
        until("a task's container", lambda: stack.task_container(dag_id, "data_extraction_task"))
        stack.compose.run("kill", "--signal", "SIGKILL", "airflow-scheduler", capture=True)
        stack.compose.run("up", "--detach", "--no-deps", "airflow-scheduler", capture=True)
        state = api.await_run(dag_id, run_id, lambda _: None)
        tries = {task.task_id: task.attempt for task in api.tasks(dag_id, run_id)}
        verdict = api.result(dag_id, run_id, "model_validation_task")
    assert state == "success", tries
    assert tries["data_extraction_task"] == 2
    assert verdict["metrics"]
    assert stack.task_containers() == []


def test_a_full_disk_ends_clearly_and_the_rerun_has_every_row(
    stack: DockerPlatform, laptop: Platform, first: Both
) -> None:
    """On a volume of its own, of 64 MB in memory: Docker can limit those."""
    volume, image = f"{stack.project}_small", stack.image("data_pipeline")
    options = ["--opt=type=tmpfs", "--opt=device=tmpfs", "--opt=o=size=64m,uid=10001,gid=10001"]
    subprocess.run(["docker", "volume", "create", *options, volume], check=True, capture_output=True)
    holder = docker("run", "--detach", "--volume", f"{volume}:{HOME}", image, "sleep", "600")  # keeps it mounted

    def command(*words: str) -> subprocess.CompletedProcess[str]:
        mounts = ["--volume", f"{volume}:{HOME}", "--volume", f"{laptop.home / 'source'}:/source:ro"]
        return subprocess.run(
            ["docker", "run", "--rm", "--read-only", "--tmpfs=/tmp", *mounts, image, *words],
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    try:
        ingest = ("data-pipeline", "ingest", "--run-key=full", "--source=sqlite:////source/source.db")
        fill = f"head -c 63M /dev/zero > {HOME}/filler; true"
        docker("exec", holder, "sh", "-c", fill)
        failed = command(*ingest)
        assert failed.returncode == 75, failed.stderr
        assert "no space left" in failed.stderr.lower()
        assert "Traceback" not in failed.stderr
        docker("exec", holder, "rm", f"{HOME}/filler")
        for step in (ingest, ("data-pipeline", "clean", "--run-key=full")):
            done = command(*step)
            assert done.returncode == 0, done.stderr
        docker("exec", holder, "sh", "-c", fill)
        failed = command("data-pipeline", "explore-and-validate", "--run-key=full")
        assert failed.returncode == 75, failed.stderr
        docker("exec", holder, "rm", f"{HOME}/filler")
        done = command("data-pipeline", "explore-and-validate", "--run-key=full")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout.splitlines()[-1])["views"]["driver_stats"]
        assert found["rows_good"] == first.laptop["db_to_offline_store"]["views"]["driver_stats"]["rows_good"]
    finally:
        docker("rm", "--force", holder)
        docker("volume", "rm", volume)


def docker(*words: str) -> str:
    """Call Docker; gives what it says."""
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True).stdout.strip()
