"""`make demo`: from raw data to an answer, through four DAG runs in a real Airflow and the online service."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from twinserve.embedded.redis import leased_redis
from twinserve.errors import PermanentError
from twinserve.settings import Settings, child_environment
from twinserve_local.airflow_api import airflow_api
from twinserve_local.airflow_server import first_stopped, running_airflow, stopped_early
from twinserve_local.checkout import Checkout
from twinserve_local.dag_run import Results, run_dag
from twinserve_local.online_service import ask, example_request, running_service
from twinserve_local.ports import free_port
from twinserve_local.telemetry import contained_environment

DAGS = ("db_to_offline_store", "materialize_offline_to_online", "training_pipeline", "batch_serving_pipeline")
Tell = Callable[[str], None]


@dataclass
class Outcome:
    """What the demo found.

    Attributes:
        world: what `data-pipeline generate` reported.
        tasks: what each task returned, by DAG and task.
        request: what was asked.
        answer: what the service answered.
        seconds: by stage, in order.
    """

    world: dict[str, Any] = field(default_factory=dict)
    tasks: dict[str, Results] = field(default_factory=dict)
    request: dict[str, Any] = field(default_factory=dict)
    answer: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str, tell: Tell) -> Iterator[None]:
        """Measure a stage."""
        tell(name)
        began = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - began, 1)


def run_demo(settings: Settings, checkout: Checkout, tell: Tell) -> Outcome:
    """Run it all; whatever it started is stopped when it returns or raises.

    Raises:
        TwinserveError: a stage failed; says which, and why.
    """
    outcome = Outcome()
    with leased_redis(settings):
        with outcome.stage("sample data", tell):
            outcome.world = generate_world(settings, checkout)
        run_dags(settings, checkout, outcome, tell)
        ask_service(settings, checkout, outcome, tell)
    return outcome


def generate_world(settings: Settings, checkout: Checkout) -> dict[str, Any]:
    """Write the source database that `demo.yaml` describes, unless it is there.

    Raises:
        PermanentError: the command failed; carries its last line.
    """
    plan = yaml.safe_load((Path(__file__).parent / "demo.yaml").read_text())["generate"]
    options = [f"--{name}={value}" for name, value in plan.items()]
    done = subprocess.run(
        [checkout.command("data-pipeline"), "generate", *options],
        env=child_environment(settings, **contained_environment(settings.home)),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        said = (done.stderr.strip() or "it said nothing").splitlines()[-1]
        raise PermanentError(f"data-pipeline generate failed with exit code {done.returncode}: {said}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def run_dags(settings: Settings, checkout: Checkout, outcome: Outcome, tell: Tell) -> None:
    """Start an Airflow of our own, run the DAGs one after the other, stop it.

    Raises:
        TwinserveError: Airflow or a task failed.
    """
    began = time.monotonic()
    tell("Airflow starts")
    # DAGs start one another when features are updated: here one is run after the other, and each once
    with running_airflow(settings, checkout, free_port(), scheduled=False) as (airflow, sessions):
        outcome.seconds["Airflow's start"] = round(time.monotonic() - began, 1)

        def check() -> None:
            if stopped := first_stopped(sessions):
                raise stopped_early(stopped, airflow.home)

        with airflow_api(airflow) as api:
            for dag_id in DAGS:
                api.await_dag(dag_id)
                api.pause(dag_id)
            for dag_id in DAGS:
                with outcome.stage(dag_id, tell):
                    outcome.tasks[dag_id] = run_dag(api, dag_id, check, tell)
        began = time.monotonic()
    outcome.seconds["Airflow's end"] = round(time.monotonic() - began, 1)


def ask_service(settings: Settings, checkout: Checkout, outcome: Outcome, tell: Tell) -> None:
    """Start the online service, ask it what its own pages give as the example, stop it."""
    port = free_port(settings.online_port)
    if port != settings.online_port:
        tell(f"Port {settings.online_port} is in use: the service takes {port}")
    with outcome.stage("online service", tell), running_service(settings, checkout, port) as url:
        outcome.request = example_request(url)
        outcome.answer = ask(url, outcome.request)
