"""`model-serving serve` as users start it: a process with BentoML's supervisor and worker."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest
from serving_worlds import (
    FRESH,
    UNKNOWN,
    Server,
    StartServer,
    World,
    classifier_output,
    fitted_classifier,
)
from waiting import until

from model_serving.online.process.folder_lock import one_service_in
from twinserve.errors import BadInput

pytestmark = pytest.mark.integration
ASKED = {"request_id": "r", "driver_ids": [*FRESH, UNKNOWN]}


def test_a_life_from_start_to_sigterm(rides: World, start: StartServer) -> None:
    server = start(rides, TWINSERVE_ONLINE_WORKERS="2")
    until("alive", lambda: server.status("/livez") == 200, also=server.log.read_text)
    server.await_ready()
    # two workers become ready one after the other, and a new connection may reach either
    until("both workers are ready", lambda: server.log.read_text().count("ready: ranker") == 2)

    answer = server.ask(ASKED)
    assert answer.status_code == 200
    assert answer.json()["prediction"] in FRESH
    assert server.ask(ASKED | {"driver_ids": []}).json()["error"]["code"] == "empty_list"
    assert server.ask({"request_id": "r", "driver_ids": list(range(1_000_000))}).status_code == 413
    assert "swagger-ui" in server.http.get("/").text
    assert "googletagmanager" not in server.http.get("/").text
    assert server.http.get("/docs.json").json()["info"]["title"] == "Twinserve"
    metrics = server.http.get("/metrics").text
    assert 'twinserve_inference_answers_total{model_name="ranker",model_version="1",outcome="ok"} 1.0' in metrics
    assert 'twinserve_inference_left_out_total{reason="unknown"} 1.0' in metrics
    assert 'twinserve_inference_stage_seconds_count{stage="read"} 1.0' in metrics
    assert "twinserve_inference_ready 1.0" in metrics
    assert 'twinserve_inference_model{model_name="ranker",model_version="1"} 1.0' in metrics
    assert "bentoml_service_request_total" in metrics

    workers = server.workers()
    assert len(workers) == 2
    server.stop()
    assert server.process.returncode == 0
    assert server.process.stdout is not None
    assert (
        server.process.stdout.read().splitlines()[-1] == f'{{"served":"http://127.0.0.1:{server.port}","stopped":true}}'
    )
    assert not any(worker.is_running() for worker in workers)
    assert not (rides.settings.home / "bentoml" / str(server.port) / "tmp").exists()
    assert "Traceback" not in server.log.read_text()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", server.port))


def test_it_waits_for_a_champion_and_says_what_it_waits_for(rides: World, start: StartServer) -> None:
    world = rides.renamed("late")
    server = start(world)
    until("the reason", lambda: "has no champion" in reason(server), also=server.log.read_text)
    assert server.status("/livez") == 200
    refused = server.ask(ASKED)
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.json()["error"]["code"] == "model_not_ready"
    assert "has no champion" in refused.json()["error"]["message"]
    assert "twinserve_inference_ready 0.0" in server.http.get("/metrics").text

    world.register(fitted_classifier(), world.contract(classifier_output()))
    server.await_ready()
    assert server.ask(ASKED).json()["model"] == {"name": "late", "version": "1"}


def reason(server: Server) -> str:
    try:
        response = server.http.get("/readyz")
    except httpx.TransportError:
        return ""
    assert response.status_code == 503
    return response.text


def test_ctrl_c_and_a_killed_supervisor_leave_nobody_behind(rides: World, start: StartServer) -> None:
    interrupted, killed = start(rides), start(rides)
    until("both are alive", lambda: all(server.status("/livez") == 200 for server in (interrupted, killed)))
    workers = interrupted.workers()
    interrupted.process.send_signal(signal.SIGINT)
    assert interrupted.process.wait(timeout=30) == 0
    assert not any(worker.is_running() for worker in workers)

    workers = killed.workers()
    os.kill(killed.process.pid, signal.SIGKILL)
    killed.process.wait()
    gone, alive = psutil.wait_procs(workers, timeout=30)
    assert (len(gone), alive) == (1, [])


def test_a_taken_port_is_one_line(rides: World) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = rides.run("serve", "--port", str(port), exit_code=65)
    assert f"can't listen on 127.0.0.1:{port}: Address already in use" in done.stderr
    assert "--port" in done.stderr


def test_an_address_of_another_machine_is_one_line(rides: World) -> None:
    done = rides.run("serve", "--host", "192.0.2.1", exit_code=65)
    assert "can't listen on 192.0.2.1:8172: Cannot assign requested address. Correct --host" in done.stderr


def test_a_second_service_on_a_port_leaves_the_first_alone(rides: World, start: StartServer) -> None:
    first = start(rides)
    folder = rides.settings.home / "bentoml" / str(first.port)
    until("its folder is there", (folder / "tmp").exists)
    (folder / "tmp" / "of the first").touch()
    # the first one does not listen yet, and on the second address it never will
    for address in ("127.0.0.1", "127.0.0.2"):
        done = rides.run("serve", "--host", address, "--port", str(first.port), exit_code=65)
        assert f"another service (process {first.process.pid}) has {folder}" in done.stderr
        assert "--port" in done.stderr
    assert (folder / "tmp" / "of the first").exists()
    first.await_ready()
    assert first.ask(ASKED).status_code == 200


def test_the_folder_of_a_service_that_was_killed_is_free(tmp_path: Path) -> None:
    code = f"from pathlib import Path\nfrom {one_service_in.__module__} import one_service_in\n"
    code += f"with one_service_in(Path({str(tmp_path)!r})): print('has it', flush=True); input()"
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "has it\n"
    with pytest.raises(BadInput, match=f"process {holder.pid}"), one_service_in(tmp_path):
        pass
    holder.kill()
    holder.communicate()
    for _ in range(2):
        with one_service_in(tmp_path):
            assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_an_unknown_host_is_one_line(rides: World) -> None:
    assert "no host 'no.such.host.invalid'" in rides.run("serve", "--host", "no.such.host.invalid", exit_code=65).stderr
