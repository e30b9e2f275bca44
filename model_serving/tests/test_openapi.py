"""The OpenAPI document is held against the service that runs: Schemathesis asks, and checks each answer against it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import schema_findings
from serving_worlds import Server, StartServer, World
from waiting import until

pytestmark = pytest.mark.integration
EXAMPLES = 100  # of each operation, besides the boundaries that Schemathesis walks through of itself
# a check of ours beside Schemathesis's own, which are all on
HOOKS = {"SCHEMATHESIS_HOOKS": "schema_findings", "PYTHONPATH": str(Path(schema_findings.__file__).parent)}
# 413 is how a list that is too long is refused; Schemathesis does not know it as a refusal
READY = "[checks.negative_data_rejection]\nexpected-statuses = [400, 405, 413, 415, 422]\n"
# 503 is what a service without a model has to say, so it is no fault of the server there; a 500 remains one
UNREADY = '[checks.not_a_server_error]\nexpected-statuses = ["2xx", "3xx", "4xx", 503]\n'


def check(server: Server, folder: Path, configuration: str) -> None:
    """Let Schemathesis ask for everything in the document; it must have no finding."""
    (folder / "schemathesis.toml").write_text(configuration)
    words = [
        "run", f"http://127.0.0.1:{server.port}/docs.json", "--checks", "all", "--max-examples", str(EXAMPLES),
        "--seed", "1", "--continue-on-failure", "--no-color",
    ]  # fmt: skip
    done = subprocess.run(
        [str(Path(sys.executable).parent / "st"), *words],
        cwd=folder, env=os.environ | HOOKS, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    paths: dict[str, Any] = server.http.get("/docs.json").json()["paths"]
    assert f"Tested: {sum(len(entry) for entry in paths.values())}\n" in done.stdout


@pytest.mark.parametrize("name", ["rides", "shops"])
def test_the_service_does_what_its_document_says(
    name: str, request: pytest.FixtureRequest, start: StartServer, tmp_path: Path
) -> None:
    world: World = request.getfixturevalue(name)
    server = start(world)
    server.await_ready()
    check(server, tmp_path, READY)


def test_so_does_a_service_without_a_model(rides: World, start: StartServer, tmp_path: Path) -> None:
    server = start(rides.renamed("never-trained"))
    until("it answers", lambda: server.status("/readyz") == 503, also=server.log.read_text)
    assert "Not ready: model 'never-trained' has no champion" in server.http.get("/docs.json").text
    check(server, tmp_path, UNREADY)
