"""Batch: from a file of keys and moments to a file of scores, whole processes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.contest import Answer, Case, Contestant, Sizes
from benchmarks.job import Facts, Job
from benchmarks.workspace import Workspace
from benchmarks.world import environment, made_file, ready_world, trained

PRESET = "gradient_boosting"
SEED = 7
MILLION = 1_000_000
DISK_BYTES_A_ROW = 150
CLOSE = 1e-9  # the contract of a linear model allows as much
PREFIX = "bench-"


@contextmanager
def inputs(workspace: Workspace, size: int, plan: str) -> Iterator[dict[str, str]]:
    """A world with a champion, and entity rows for it; what the runs leave in that world is removed."""
    workspace.need(size * DISK_BYTES_A_ROW, f"a batch of {size:,} rows")
    world = ready_world(workspace, plan)
    exported = trained(workspace, world, PRESET)
    options = {"seed": str(SEED)}
    name = f"batch-rows-{world.name}-{size}.parquet"
    rows = made_file(workspace, name, lambda folder: Job(size, folder, exported, options), "batch_rows")
    _tidy(world)
    try:
        yield {**exported, "world": str(world), "entity_rows": str(rows), "run_key": PREFIX}
    finally:
        _tidy(world)


def check(workspace: Workspace, job: Job, facts: Facts) -> Answer:
    """Rows against the input, scores of some against pandas and scikit-learn."""
    answer = Path(facts["result"]["output"]) if "result" in facts else job.output
    with workspace.run_folder() as folder:
        found = workspace.fixture("batch_answer", Job(job.size, folder, {**job.inputs, "answer": str(answer)})).facts
    same = found["largest_difference"] <= CLOSE and (found["same_keys"] or found["lost"] > 0)
    return Answer(found["rows"], found["lost"], same, found["ordered"])


def in_world(_workspace: Workspace, job: Job) -> dict[str, str]:
    """Our commands work in the world's home."""
    return environment(Path(job.inputs["world"]), PRESET)


def _tidy(world: Path) -> None:
    for folder in (world / "predictions", world / "runs" / "batch_serving"):
        for left in folder.glob(f"{PREFIX}*"):
            shutil.rmtree(left)


def batch(plan: str) -> Case:
    """The case, in the world of a section of `world.yaml`."""
    return Case(
        name="batch",
        title="Batch: read the input, join its features, predict, write",
        unit="rows",
        measured="whole processes from start to end: data-extraction and batch-prediction, or the plain script",
        sizes=Sizes(quick=(10_000,), usual=(MILLION, 10 * MILLION), large=(100 * MILLION,)),
        contestants=(
            Contestant("Twinserve", "batch.twinserve", ours=True),
            Contestant("plain script: Feast file store, pandas, scikit-learn", "batch.plain", largest=MILLION),
        ),
        inputs=partial(inputs, plan=plan),
        check=check,
        environment=in_world,
    )
