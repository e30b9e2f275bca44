"""A home with a champion, trained by the project's own commands; made once for each state of the code."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import yaml

from benchmarks.job import Job
from benchmarks.process import CHECKOUT
from benchmarks.workspace import Workspace
from twinserve.files.atomic import write_atomically

SOURCES = ("core/src", "data_pipeline/src", "data_pipeline/feature_repo", "training_pipeline/src", "uv.lock")
PARAMS = CHECKOUT / "training_pipeline" / "params.yaml"
FEATURE_REPO = CHECKOUT / "data_pipeline" / "feature_repo"
DATA_STEPS = ("ingest", "clean", "explore-and-validate")
TRAINING_STEPS = (
    *("feature-store-init", "data-extraction", "data-validation", "data-preparation"),
    *("model-training", "model-evaluation", "model-validation"),
)
KEY = ["--run-key", "benchmarks"]


def environment(world: Path, preset: str) -> dict[str, str]:
    """Variables that make the commands work in this home, on the model of this preset."""
    return {
        "TWINSERVE_HOME": str(world),
        "TWINSERVE_FEATURE_REPO": str(FEATURE_REPO),
        "TWINSERVE_TRAINING_PARAMS": str(world / f"{preset}.yaml"),
        "TWINSERVE_MODEL_NAME": preset,
    }


def ready_world(workspace: Workspace, plan: str) -> Path:
    """The home, its offline store filled; those of other states of the code are removed.

    Args:
        plan: a section of `world.yaml`.
    """
    home = workspace.worlds / f"{plan}-{code_digest()}"
    if not (home / "filled").exists():
        workspace.need(2 << 30, "training a champion")
        for other in workspace.worlds.glob(f"{plan}-*"):
            shutil.rmtree(other)
        home.mkdir(parents=True)
        words = yaml.safe_load((CHECKOUT / "benchmarks" / "world.yaml").read_text(encoding="utf-8"))[plan]
        generate = ["data-pipeline", "generate", *(f"--{name}={value}" for name, value in words.items())]
        _commands(workspace, home, "filling", [generate, *(["data-pipeline", step, *KEY] for step in DATA_STEPS)])
        write_atomically(home / "filled", "")
    return home


def trained(workspace: Workspace, world: Path, preset: str) -> dict[str, str]:
    """The champion of a preset, and what the plain way needs of it: see `benchmarks.fixtures.export_model`."""
    target = world / "exported" / preset
    if not (target / "model.json").exists():
        params = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))
        params["model"]["estimator"] = preset
        write_atomically(world / f"{preset}.yaml", yaml.safe_dump(params))
        key = ["--run-key", f"benchmarks-{preset}"]
        _commands(workspace, world, preset, [["training-pipeline", step, *key] for step in TRAINING_STEPS])
        with workspace.run_folder() as folder:
            workspace.fixture("export_model", Job(0, folder, {"target": str(target)}), environment(world, preset))
    found: dict[str, str] = json.loads((target / "model.json").read_text(encoding="utf-8"))
    return found


def made_file(workspace: Workspace, name: str, make: Callable[[Path], Job], module: str) -> Path:
    """A file in the data folder, made by a fixture if it is not there."""
    target = workspace.data / name
    if not target.exists():
        with workspace.run_folder() as folder:
            job = make(folder)
            workspace.fixture(module, Job(job.size, folder, {**job.inputs, "target": str(target)}, job.options))
    return target


@cache
def code_digest() -> str:
    """Of everything that a trained version depends on, as it was when first asked for."""
    files = sorted(
        file
        for name in (*SOURCES, "training_pipeline/params.yaml", "benchmarks/world.yaml")
        for file in ((CHECKOUT / name).rglob("*") if (CHECKOUT / name).is_dir() else [CHECKOUT / name])
        if file.is_file() and file.suffix != ".pyc"
    )
    whole = hashlib.sha256()
    for file in files:
        whole.update(str(file.relative_to(CHECKOUT)).encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return whole.hexdigest()[:12]


def _commands(workspace: Workspace, world: Path, preset: str, commands: list[list[str]]) -> None:
    for words in commands:
        with workspace.run_folder() as folder:
            workspace.fixture("command", Job(0, folder, {}, {"words": json.dumps(words)}), environment(world, preset))
