"""From `model-serving serve` to a ready worker: what is asked, what is kept, and what goes on without MLflow."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from serving_worlds import FRESH, Server, StartServer, World, classifier_output, fitted_classifier, mlflow_gone
from waiting import until

from model_serving.online.process.child_process import ChildProcess
from model_serving.online.process.feature_check import REMEMBERED
from model_serving.online.process.load_champion import prepare
from model_serving.online.process.load_state import read_preparation
from model_serving.online.process.model_loader import Preparer
from twinserve.errors import ContractMismatch, StepMissing, TransientError
from twinserve.model.model_bundle import FILES, load_prepared
from twinserve.settings import child_environment

pytestmark = pytest.mark.integration
ASKED = {"request_id": "r", "driver_ids": FRESH}
HEAVY = ("feast", "mlflow")  # seconds to import each, and hundreds of megabytes


def preparing(server: Server) -> list[psutil.Process]:
    """The processes that prepare a model, of all that the server has started."""
    return [each for each in server.workers() if "model_serving.online." in " ".join(each.cmdline()[:3])]


def test_a_worker_takes_anothers_place_while_mlflow_is_away(rides: World, start: StartServer) -> None:
    server = start(rides)
    server.await_ready()
    (worker,) = server.workers()
    with mlflow_gone(rides):
        worker.kill()
        psutil.wait_procs([worker], timeout=10)
        until("another worker is ready", lambda: server.log.read_text().count("ready: ranker") == 2)
        assert server.ask(ASKED).status_code == 200

        late = start(rides)
        until("a second service says why not", lambda: late.status("/readyz") == 503, also=late.log.read_text)
        assert late.ask(ASKED).json()["error"]["code"] == "model_not_ready"
        assert "MLflow" in late.ask(ASKED).json()["error"]["message"]
        assert server.ask(ASKED).status_code == 200
    late.await_ready()


def test_a_silent_mlflow_is_named(rides: World, start: StartServer) -> None:
    """It takes connections and never answers; our limit of ten seconds is one here."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        server = start(rides, TWINSERVE_MLFLOW_URI=url, MLFLOW_HTTP_REQUEST_TIMEOUT="1")
        until("the service says why not", lambda: server.status("/readyz") == 503, also=server.log.read_text)
        problem = server.ask(ASKED).json()["error"]
    assert problem["code"] == "model_not_ready"
    assert "MLflow" in problem["message"]


def test_two_services_at_once_and_a_third_that_finds_all_done(rides: World, start: StartServer) -> None:
    shutil.rmtree(rides.settings.home / "serving", ignore_errors=True)
    both = [start(rides), start(rides)]
    for server in both:
        server.await_ready()
    bundle = prepare(rides.settings)
    laid = (bundle / FILES / "MLmodel").stat()
    third = start(rides)
    third.await_ready()
    assert (bundle / FILES / "MLmodel").stat().st_ino == laid.st_ino
    assert {server.ask(ASKED).json()["prediction"] for server in [*both, third]} <= set(FRESH)


def test_whoever_stops_or_dies_while_it_prepares_leaves_nobody_behind(rides: World, start: StartServer) -> None:
    (prepare(rides.settings) / REMEMBERED).unlink()  # so that Feast is asked as well
    for end in (signal.SIGINT, signal.SIGKILL):
        server = start(rides)
        found = until("it prepares, and asks Feast", lambda s=server: len(found := preparing(s)) == 2 and found)  # type: ignore[misc]
        assert found
        everybody = server.workers()
        server.process.send_signal(end)
        server.process.wait(timeout=30)
        assert psutil.wait_procs(everybody, timeout=30)[1] == []


def test_feast_is_asked_again_only_when_the_definitions_changed(rides: World) -> None:
    bundle = prepare(rides.settings)
    remembered = bundle / REMEMBERED
    before = remembered.stat().st_ino
    assert prepare(rides.settings) == bundle
    assert remembered.stat().st_ino == before, "it was not asked"
    remembered.write_text('{"fitted": "something else"}')
    prepare(rides.settings)
    assert remembered.stat().st_ino != before, "it was asked"


def test_what_can_not_be_remembered_is_asked_again(rides: World, caplog: pytest.LogCaptureFixture) -> None:
    remembered = prepare(rides.settings) / REMEMBERED
    remembered.unlink()
    remembered.mkdir()  # nothing can be written in its place
    try:
        assert prepare(rides.settings) == remembered.parent
    finally:
        remembered.rmdir()
    assert "can't keep that the features fit" in caplog.text


def test_a_flipped_byte_is_found_and_brought_again(rides: World) -> None:
    bundle = prepare(rides.settings)
    file = next((bundle / FILES).rglob("contract.json"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(ContractMismatch, match="not the one that was registered"):
        load_prepared(bundle)
    assert prepare(rides.settings) == bundle
    assert load_prepared(bundle).version == "1"


def test_without_a_champion_it_is_a_missing_step(rides: World) -> None:
    with pytest.raises(StepMissing, match="has no champion"):
        prepare(rides.renamed("nobody").settings)


def test_a_worker_imports_neither_feast_nor_mlflow(rides: World, tmp_path: Path) -> None:
    """What a worker does, in a process of its own: the pages, the bundle, the reader."""
    bundle = prepare(rides.settings)
    script = (
        "import sys; import model_serving.online.service; from pathlib import Path;"
        "from twinserve.model.model_bundle import load_prepared;"
        f"load_prepared(Path({str(bundle)!r}));"
        f"sys.exit(' '.join(name for name in {HEAVY!r} if name in sys.modules) or None)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=child_environment(rides.settings, TWINSERVE_REDIS_URL=rides.redis_url),
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_child_ends_when_its_parent_is_gone_and_fails_with_our_errors(rides: World) -> None:
    renamed = rides.renamed("nobody")
    child = ChildProcess("model_serving.online.process.load_champion", renamed.environment)
    with pytest.raises(StepMissing, match="has no champion") as raised:
        child.outcome()
    assert raised.value.fix
    with pytest.raises(TransientError, match="ended without an outcome"):
        ChildProcess("model_serving.online.no_such_module").outcome()


def own_module(folder: Path, *lines: str, first: str = "a plug-in says hello") -> dict[str, str]:
    """An environment in which `python -m a_child` runs these lines, after Python's start has printed the first one."""
    (folder / "sitecustomize.py").write_text(f"print({first!r}, flush=True)\n")
    (folder / "a_child.py").write_text("\n".join(lines))
    return {**os.environ, "PYTHONPATH": str(folder)}


def test_what_a_library_prints_is_not_the_outcome(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    environment = own_module(
        tmp_path,
        "import os",
        "from model_serving.online.process.child_process import run_for_parent",
        "def work(questions):",
        '    print(\'{"folder": "a library says"}\')',
        '    os.write(1, b\'{"folder": "a library in C says"}\\n\')',
        "    return {'folder': '/ours'}",
        "run_for_parent(work)",
    )
    assert ChildProcess("a_child", environment).outcome() == {"folder": "/ours"}
    said = capfd.readouterr().err
    assert "a library in C says" in said
    assert "a library says" in said


def test_a_child_that_hangs_is_ended(tmp_path: Path) -> None:
    child = ChildProcess("a_child", own_module(tmp_path, "import threading", "threading.Event().wait()"))
    with pytest.raises(TransientError, match="gave no outcome"):
        child.outcome(seconds=0.5)


def test_an_outcome_that_nobody_expected_is_a_failure(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "service"
    folder.mkdir(mode=0o755)
    with Preparer(folder, own_module(tmp_path, first='{"no": "folder"}')):
        assert folder.stat().st_mode & 0o777 == 0o700, "nobody else says which bundle to load"
        until("it has failed", lambda: read_preparation(folder).state == "failed")
        assert "failed unexpectedly" in read_preparation(folder).why
    assert any(record.exc_info and record.exc_info[0] is KeyError for record in caplog.records)


def test_a_new_champion_is_served_by_the_next_start(rides: World, start: StartServer) -> None:
    world = rides.renamed("moves-on")
    first = world.register(fitted_classifier(), world.contract(classifier_output()))
    server = start(world)
    server.await_ready()
    second = world.register(fitted_classifier(seed=1), world.contract(classifier_output()))
    (worker,) = server.workers()
    os.kill(worker.pid, signal.SIGKILL)
    until("another worker is ready", lambda: server.log.read_text().count("ready: moves-on") == 2)
    assert server.ask(ASKED).json()["model"]["version"] == first, "all workers of a service serve one version"
    later = start(world)
    later.await_ready()
    assert later.ask(ASKED).json()["model"]["version"] == second
