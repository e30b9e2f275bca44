"""A home with features in Redis and a champion, made by the project's own commands; kept until what it is made by
changes."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.job import Job
from benchmarks.online.repo import SERVICE, VIEW, feature_names, write_params, write_repo
from benchmarks.process import CHECKOUT
from benchmarks.workspace import Workspace
from benchmarks.world import TRAINING_STEPS
from twinserve.embedded.redis import leased_redis
from twinserve.settings import load_settings

# what decides what is in a world; the rest of the code only reads it
SOURCES = (
    *("benchmarks/online/repo.py", "benchmarks/online/world.py", "training_pipeline/src"),
    *(f"benchmarks/fixtures/{name}.py" for name in ("online_items", "online_model", "export_model", "feast_repo")),
    *("training_pipeline/params.yaml", "core/src/twinserve/contract.py", "core/src/twinserve/registry.py"),
    *("core/src/twinserve/features/redis/layout.py", "core/src/twinserve/features/redis/value_encoding.py"),
)
LIBRARIES = ("scikit-learn", "onnxruntime", "mlflow-skinny", "feast", "numpy")
SEED = 7
MIB = 1 << 20


@dataclass(frozen=True)
class Plan:
    """How large a world is, and what its model is."""

    name: str
    keys: int
    width: int
    preset: str


@dataclass(frozen=True)
class World:
    """A home that is filled.

    Attributes:
        model: what `benchmarks.fixtures.online_model` wrote.
        redis_url: of the server that holds the features, as long as the world is open.
    """

    plan: Plan
    home: Path
    model: dict[str, Any]
    redis_url: str

    @property
    def environment(self) -> dict[str, str]:
        """Variables that make the project's commands work in this home, on this Redis."""
        return {**_environment(self.plan, self.home), "TWINSERVE_REDIS_URL": self.redis_url}


@contextmanager
def open_world(workspace: Workspace, plan: Plan) -> Iterator[World]:
    """The world of a plan, made if it is not there, its Redis running inside the block."""
    home = workspace.worlds / f"online-{plan.name}-{_digest(plan)}"
    with leased_redis(load_settings(home=home, redis_url=None)) as redis_url:
        if not (home / "exported" / "online.json").exists():
            _make(workspace, plan, home, redis_url)
        model = json.loads((home / "exported" / "online.json").read_text(encoding="utf-8"))
        yield World(plan, home, model, redis_url)


def _make(workspace: Workspace, plan: Plan, home: Path, redis_url: str) -> None:
    workspace.need(512 * MIB, "training a champion")
    for other in workspace.worlds.glob(f"online-{plan.name}-*"):
        if other != home:
            shutil.rmtree(other)
    labels, offline = home / "labels.parquet", home / "offline" / VIEW / "day=2025-01-01" / "part-0.parquet"
    offline.parent.mkdir(parents=True, exist_ok=True)
    write_repo(home / "feature_repo", plan.width)
    write_params(home / "params.yaml", plan.preset, labels)
    environment = {**_environment(plan, home), "TWINSERVE_REDIS_URL": redis_url}
    words = {"seed": str(SEED), "columns": ",".join(feature_names(plan.width))}
    _fixture(workspace, "online_items", plan.keys, {"offline": offline, "labels": labels}, words, environment)
    commands = [
        ["data-pipeline", "materialize"],
        *(["training-pipeline", step, "--run-key", "b"] for step in TRAINING_STEPS),
    ]
    _fixture(workspace, "commands", 0, {}, {"commands": json.dumps(commands)}, environment)
    exported = {"target": home / "exported"}
    _fixture(workspace, "export_model", 0, exported, {}, environment)
    _fixture(workspace, "online_model", 0, exported, {}, environment)


def _fixture(
    workspace: Workspace, module: str, size: int, inputs: dict[str, Path], options: dict[str, str],
    environment: dict[str, str],
) -> None:  # fmt: skip
    with workspace.run_folder() as folder:
        job = Job(size, folder, {name: str(path) for name, path in inputs.items()}, options)
        workspace.fixture(module, job, environment)


def _environment(plan: Plan, home: Path) -> dict[str, str]:
    return {
        "TWINSERVE_HOME": str(home),
        "TWINSERVE_FEATURE_REPO": str(home / "feature_repo"),
        "TWINSERVE_TRAINING_PARAMS": str(home / "params.yaml"),
        "TWINSERVE_MODEL_NAME": plan.preset,
    }


def _digest(plan: Plan) -> str:
    whole = hashlib.sha256(repr((plan, SERVICE, [version(name) for name in LIBRARIES])).encode())
    for name in SOURCES:
        place = CHECKOUT / name
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            whole.update(file.read_bytes())
    return whole.hexdigest()[:12]
