"""The profile `monitoring` over a service that answers: its targets, its alarms, every expression of every dashboard.

By default the Compose file's own Prometheus, Alertmanager, node exporter and gateway are started beside a service of
this checkout. With PROMETHEUS_URL and ONLINE_URL set, a platform that runs already is looked at instead.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import redis
import yaml
from docker_platform import ROOT
from platform_under_test import Platform
from profile_project import ProfileProject, container, has_image, profile_project
from waiting import until

pytestmark = [pytest.mark.docker, pytest.mark.integration]
PROMETHEUS = "prom/prometheus:v2.42.0"
ALERTMANAGER = "prom/alertmanager:v0.25.0"
EXPORTER = "prom/node-exporter:v1.9.1"
JOBS = {"online", "gateway", "node", "prometheus", "alertmanager"}
TRAFFIC_SECONDS = 45.0  # three scrapes: a rate needs two
DASHBOARDS = sorted((ROOT / "deployment" / "grafana" / "dashboards").glob("*.json"))
RULES = sorted((ROOT / "deployment" / "prometheus" / "rules").glob("*.yml"))
# an alarm's expression without its threshold must have data; these say why not
WITHOUT_DATA = {"OnlineServiceGone": "it asks whether there is no data, and there is"}
# a stand-in for the containers of the service: passes connections on to the service of this checkout
FORWARDER = """
import asyncio, sys
async def pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()
async def serve(reader, writer):
    other = await asyncio.open_connection("host", int(sys.argv[1]))
    await asyncio.gather(pump(reader, other[1]), pump(other[0], writer), return_exceptions=True)
async def main():
    async with await asyncio.start_server(serve, "0.0.0.0", 8172) as server:
        await server.serve_forever()
asyncio.run(main())
"""


@dataclass(frozen=True)
class Watched:
    """A Prometheus that watches a service with some traffic behind it."""

    prometheus: httpx.Client

    def query(self, expression: str) -> list[Any]:
        """The result of an instant query; fails where it does not parse."""
        answer = self.prometheus.post("/api/v1/query", data={"query": expression})
        assert answer.status_code == 200, (expression, answer.text)
        found: list[Any] = answer.json()["data"]["result"]
        return found

    def targets(self) -> dict[str, str]:
        """Health by job."""
        active = self.prometheus.get("/api/v1/targets").json()["data"]["activeTargets"]
        return {target["labels"]["job"]: target["health"] for target in active}


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with ExitStack() as opened:
        given = os.environ.get("PROMETHEUS_URL")
        if given:
            ask_for_a_while(os.environ["ONLINE_URL"])
        url = given or opened.enter_context(own_stack(tmp_path_factory.mktemp("watched")))
        yield Watched(opened.enter_context(httpx.Client(base_url=url, timeout=30, trust_env=False)))


@contextmanager
def own_stack(folder: Path) -> Iterator[str]:
    """The monitoring services of the Compose file around a service of this checkout; URL of Prometheus."""
    tag = checkout_tag()
    with profile_project(folder, "monitoring", tag, node_exporter(folder)) as project, ExitStack() as opened:
        home = small_home(folder / "home")
        client = opened.enter_context(home.serving(TWINSERVE_ONLINE_HOST="0.0.0.0"))  # noqa: S104 - for the containers
        project.start("prometheus", "alertmanager", "node-exporter")
        opened.enter_context(forwarder(project, client.base_url.port or 0))
        project.start("gateway")
        with outage(home.home):
            ask_for_a_while(project.url("ONLINE_PORT"))
        until("all targets", lambda: set(Watched(client_of(project)).targets()) == JOBS)
        yield project.url("PROMETHEUS_PORT")


def client_of(project: ProfileProject) -> httpx.Client:
    return httpx.Client(base_url=project.url("PROMETHEUS_PORT"), timeout=30, trust_env=False)


def checkout_tag() -> str:
    words = ["git", "-C", str(ROOT), "describe", "--tags", "--always", "--dirty"]
    return os.environ.get("TAG") or subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def small_home(folder: Path) -> Platform:
    """A champion over fifty keys."""
    platform = Platform(folder)
    platform.run("data-pipeline", "generate", "--drivers=50", "--days=12", "--orders=1500", "--seed=3")
    platform.to_offline_store("first")
    platform.run("data-pipeline", "apply")
    platform.run("data-pipeline", "materialize")
    platform.train("first")
    return platform


def node_exporter(folder: Path) -> list[Path]:
    """Compose files that replace the public image where it is not on this machine."""
    if has_image(EXPORTER):
        return []
    build = Path(__file__).parent / "node_exporter"
    subprocess.run(["docker", "build", "--quiet", "--tag", "twinserve-test/node-exporter", str(build)], check=True)
    override = folder / "node-exporter.yml"
    override.write_text("services: { node-exporter: { image: twinserve-test/node-exporter } }\n")
    return [override]


@contextmanager
def forwarder(project: ProfileProject, port: int) -> Iterator[str]:
    """What the network knows as `online`."""
    network = ["--network", project.network, "--network-alias", "online", "--add-host", "host:host-gateway"]
    with container(*network, "python:3.11-slim-bookworm", "python3", "-c", FORWARDER, str(port)) as identity:
        yield identity


@contextmanager
def outage(home: Path) -> Iterator[None]:
    """Meanwhile Redis stops answering for a second, twice: those requests are refused."""
    with redis.Redis(port=int((home / "redis" / "port").read_text())) as client:
        server = psutil.Process(client.info()["process_id"])

    def pause() -> None:
        time.sleep(TRAFFIC_SECONDS / 4)
        for _ in range(2):
            server.send_signal(signal.SIGSTOP)
            time.sleep(1)
            server.send_signal(signal.SIGCONT)
            time.sleep(TRAFFIC_SECONDS / 3)

    pauses = threading.Thread(target=pause)
    pauses.start()
    try:
        yield
    finally:
        pauses.join()
        server.send_signal(signal.SIGCONT)


def ask_for_a_while(url: str) -> None:
    """Good requests, requests with unknown candidates and wrong ones, ten a second."""
    bodies: list[dict[str, Any]] = [
        {"request_id": "good", "driver_ids": [1001, 1002, 1003]},
        {"request_id": "unknown", "driver_ids": [1001, 999_999]},
        {"request_id": "wrong", "driver_ids": []},
    ]
    end = time.monotonic() + TRAFFIC_SECONDS
    with httpx.Client(base_url=url, timeout=10, trust_env=False) as client:
        until("ready", lambda: client.get("/readyz").is_success, also=lambda: client.get("/readyz").text)
        while time.monotonic() < end:
            for body in bodies:
                client.post("/inference", json=body)
            time.sleep(0.3)


def dashboard_expressions() -> list[tuple[str, str]]:
    """Each panel's title and expression, as Grafana would send it for the last hour."""
    found = []
    for file in DASHBOARDS:
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel["targets"]:
                expression = target["expr"].replace("$__rate_interval", "1m")
                found.append((f"{file.stem}: {panel['title']}: {target['legendFormat']}", expression))
    return found


def alarms() -> list[tuple[str, str]]:
    """Each alarm's name and expression."""
    groups = [group for file in RULES for group in yaml.safe_load(file.read_text())["groups"]]
    return [(rule["alert"], rule["expr"]) for group in groups for rule in group["rules"]]


def test_everything_that_is_watched_answers(watched: Watched) -> None:
    assert watched.targets() == dict.fromkeys(JOBS, "up")


def test_every_expression_of_every_dashboard_has_data(watched: Watched) -> None:
    empty = [title for title, expression in dashboard_expressions() if not watched.query(expression)]
    assert empty == []


def test_every_alarm_watches_something_that_is_there(watched: Watched) -> None:
    measured = {name: re.sub(r"\s*(==|<|>)\s*[\d.]+", "", expression) for name, expression in alarms()}
    assert not set(WITHOUT_DATA) - set(measured)
    assert all(expression != measured[name] for name, expression in alarms() if name not in WITHOUT_DATA)
    empty = {name for name, expression in measured.items() if not watched.query(expression)}
    assert empty == set(WITHOUT_DATA)


def test_prometheus_has_loaded_every_alarm_and_knows_whom_to_tell(watched: Watched) -> None:
    groups = watched.prometheus.get("/api/v1/rules").json()["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert {rule["name"] for rule in rules} == {name for name, _ in alarms()}
    assert {rule["health"] for rule in rules} == {"ok"}
    assert len(watched.prometheus.get("/api/v1/alertmanagers").json()["data"]["activeAlertmanagers"]) == 1


def checked(image: str, program: str, mount: str, *words: str) -> str:
    """What a program of an image says about our configuration."""
    command = ["docker", "run", "--rm", "--network=none", "--volume", f"{ROOT / 'deployment'}/{mount}:ro"]
    done = subprocess.run(
        [*command, "--entrypoint", program, image, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_its_configuration() -> None:
    checked(PROMETHEUS, "promtool", "prometheus:/etc/prometheus", "check", "config", "/etc/prometheus/prometheus.yml")


def test_alarms_fire_when_they_should_and_not_otherwise() -> None:
    files = sorted((ROOT / "deployment" / "prometheus" / "tests").glob("*.yml"))
    names = [f"/etc/prometheus/tests/{file.name}" for file in files]
    said = checked(PROMETHEUS, "promtool", "prometheus:/etc/prometheus", "test", "rules", *names)
    assert said.count("SUCCESS") == len(files) >= len(RULES)


def test_alertmanager_takes_its_configuration_and_routes_every_alarm() -> None:
    mount, file = "alertmanager:/etc/alertmanager", "/etc/alertmanager/alertmanager.yml"
    checked(ALERTMANAGER, "amtool", mount, "check-config", file)
    for name, _ in alarms():
        words = ("config", "routes", "test", f"--config.file={file}", f"alertname={name}")
        assert checked(ALERTMANAGER, "amtool", mount, *words).strip() == "page"
