"""Runs the pipelines' console scripts, and the service, the way a person or a DAG would."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[2]
TRAINING = (
    "feature-store-init",
    "data-extraction",
    "data-validation",
    "data-preparation",
    "model-training",
    "model-evaluation",
    "model-validation",
)


class CommandFailed(Exception):
    """A console script ended with an exit code other than 0."""

    def __init__(self, command: tuple[str, ...], code: int, stderr: str) -> None:
        self.code, self.stderr = code, stderr
        super().__init__(f"{' '.join(command)} → {code}\n{stderr[-3000:]}")


class Platform:
    """One `TWINSERVE_HOME`, and the commands that work on it."""

    def __init__(self, home: Path, **settings: str) -> None:
        self.home = home
        clean = {name: value for name, value in os.environ.items() if not name.startswith("TWINSERVE_")}
        self.environment = {
            **clean,
            "TWINSERVE_HOME": str(home),
            "TWINSERVE_FEATURE_REPO": str(ROOT / "data_pipeline" / "feature_repo"),
            "TWINSERVE_TRAINING_PARAMS": str(ROOT / "training_pipeline" / "params.yaml"),
            **settings,
        }

    def run(self, script: str, *arguments: str) -> dict[str, Any]:
        """Run a console script to its end; its closing JSON line.

        Raises:
            CommandFailed: it exits with another code than 0.
        """
        command = (str(Path(sys.executable).parent / script), *arguments)
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, timeout=570)
        if done.returncode:
            raise CommandFailed((script, *arguments), done.returncode, done.stderr)
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return result

    def to_offline_store(self, run_key: str, *source: str) -> dict[str, Any]:
        """Ingest, clean, validate and publish."""
        self.run("data-pipeline", "ingest", "--run-key", run_key, *source)
        self.run("data-pipeline", "clean", "--run-key", run_key)
        return self.run("data-pipeline", "explore-and-validate", "--run-key", run_key)

    def train(self, run_key: str, *labels: str) -> dict[str, Any]:
        """All seven steps; the result of the last."""
        for step in TRAINING:
            result = self.run("training-pipeline", step, "--run-key", run_key, *(labels if step == TRAINING[1] else ()))
        return result

    def score(self, run_key: str, source: Path) -> dict[str, Any]:
        """The three steps of batch serving; the results of the last two together."""
        self.run("model-serving", "batch", "feature-store-init", "--run-key", run_key)
        extracted = self.run("model-serving", "batch", "data-extraction", "--run-key", run_key, "--input", str(source))
        return {**extracted, **self.run("model-serving", "batch", "batch-prediction", "--run-key", run_key)}

    @contextmanager
    def serving(self, **settings: str) -> Iterator[httpx.Client]:
        """The service, ready, on a free port; a client for it."""
        port = free_port()
        environment = {**self.environment, "TWINSERVE_ONLINE_PORT": str(port), **settings}
        command = [str(Path(sys.executable).parent / "model-serving"), "serve"]
        log = (self.home / "serve.log").open("w")
        service = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
                await_ready(client, service, self.home / "serve.log")
                yield client
        finally:
            stop(service)
            log.close()


def await_ready(client: httpx.Client, service: subprocess.Popen[bytes], log: Path, seconds: float = 90) -> None:
    """Wait for `/readyz`; show the end of the log when it does not come."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and service.poll() is None:
        with suppress(httpx.TransportError):
            if client.get("/readyz").status_code == httpx.codes.OK:
                return
        time.sleep(0.2)
    raise AssertionError(f"the service did not become ready:\n{log.read_text()[-3000:]}")


def stop(service: subprocess.Popen[bytes]) -> None:
    """End the service as Ctrl-C would; the whole group if it does not listen."""
    service.send_signal(signal.SIGINT)
    try:
        service.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(service.pid, signal.SIGKILL)
        raise


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
