"""What a worker does where the disk is full: a small file system of its own stands for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector
from serving_worlds import StartServer, World
from small_disk import on_small_disk

from model_serving.online.telemetry.metric_files import SIZES, reserve_metric_files

RESERVE = """
import os, sys
from pathlib import Path
from model_serving.online.telemetry.metric_files import reserve_metric_files
from twinserve.errors import TransientError
disk = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
try:
    reserve_metric_files(disk)
except TransientError as error:
    sys.exit(str(error))
"""
COUNT = """
from model_serving.online.telemetry.metrics import InferenceMetrics
from model_serving.online.inference.refusals import CODES
from model_serving.online.inference.schemas import Model
metrics = InferenceMetrics()
with (disk / "others").open("wb", buffering=0) as others:
    try:
        while others.write(bytes(4096)):
            pass
    except OSError as error:
        print(error, file=sys.stderr)
for model in (None, Model(name="ranker", version="1"), Model(name="ranker", version="2")):
    metrics.note_readiness(model)
    for code in ("ok", *CODES):
        metrics.count(code, 0.1, ["unknown", "stale", "null"])
"""


def run(tmp_path: Path, size: str, script: str) -> tuple[int, str]:
    disk = tmp_path / "disk"
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(disk)}
    ended = on_small_disk(disk, size, [sys.executable, "-c", script], environment)
    return ended.code, ended.said


def test_a_worker_goes_on_counting_on_a_full_disk(tmp_path: Path) -> None:
    code, said = run(tmp_path, "4m", RESERVE + COUNT)
    assert "No space left on device" in said
    assert code == 0, "no signal ended it"


def test_a_worker_that_finds_no_room_says_so(tmp_path: Path) -> None:
    code, said = run(tmp_path, f"{sum(SIZES.values()) // 2}", RESERVE)
    assert code == 1
    assert "no room for metrics" in said


def test_a_dead_worker_gives_back_what_it_did_not_use(tmp_path: Path) -> None:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    count = "from prometheus_client import Counter; Counter('asked', 'x').inc(3)"
    subprocess.run([sys.executable, "-c", RESERVE + count], env=environment, check=True)
    reserve_metric_files(tmp_path)
    of_the_dead = [file for file in tmp_path.iterdir() if not file.stem.endswith(f"_{os.getpid()}")]
    assert len(of_the_dead) == len(SIZES)
    assert sum(file.stat().st_size for file in of_the_dead) < 1000
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(tmp_path))  # type: ignore[no-untyped-call]
    assert registry.get_sample_value("asked_total") == 3


@pytest.mark.integration
def test_all_that_a_worker_counts_has_its_place(rides: World, start: StartServer) -> None:
    server = start(rides)
    server.await_ready()
    assert server.status("/metrics") == server.status("/docs.json") == 200
    files = list((rides.settings.home / "bentoml" / str(server.port) / "prometheus_multiproc_dir").iterdir())
    (worker,) = server.workers()
    assert {file.name for file in files} >= {f"{kind}_{worker.pid}.db" for kind in ("counter", "histogram")}
    for file in files:
        assert 512 * file.stat().st_blocks >= file.stat().st_size > 0, f"{file.name} has holes"
