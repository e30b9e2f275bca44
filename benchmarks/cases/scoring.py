"""Scoring alone: rows in memory, in batches of one size, by the registered model and by scikit-learn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.cases.batch import CLOSE
from benchmarks.contest import Answer, Case, Contestant, Sizes
from benchmarks.job import Facts, Job
from benchmarks.workspace import Workspace
from benchmarks.world import environment, made_file, ready_world, trained

SEED = 7
LARGEST = 65_536
FEWEST, MOST = 8, 200  # batches a run
ROWS = 200_000
AT_ONCE = {"threads": "all"}


def batches(size: int) -> int:
    """How many of a size are scored: 200,000 rows, but not fewer than 8 batches nor more than 200."""
    return min(max(ROWS // size, FEWEST), MOST)


@contextmanager
def inputs(workspace: Workspace, size: int, plan: str, preset: str) -> Iterator[dict[str, str]]:
    """A champion of the preset, and rows of its features."""
    world = ready_world(workspace, plan)
    exported = trained(workspace, world, preset)
    name = f"scoring-rows-{world.name}-{preset}.npy"
    options = {"seed": str(SEED)}
    rows = made_file(workspace, name, lambda folder: Job(LARGEST * FEWEST, folder, exported, options), "scoring_rows")
    yield {**exported, "world": str(world), "preset": preset, "rows": str(rows), "batches": str(batches(size))}


def check(workspace: Workspace, job: Job, _facts: Facts) -> Answer:
    """Each score against `predict_proba`."""
    with workspace.run_folder() as folder:
        words = {**job.inputs, "scores": str(job.folder / "scores.npy")}
        found = workspace.fixture("score_answer", Job(job.size, folder, words)).facts
    return Answer(found["rows"], 0, found["largest_difference"] <= CLOSE)


def in_world(_workspace: Workspace, job: Job) -> dict[str, str]:
    """The model is in the world's registry."""
    return environment(Path(job.inputs["world"]), job.inputs["preset"])


def _at_once(name: str, module: str, *, ours: bool = False) -> Contestant:
    return Contestant(name, module, ours=ours, options=AT_ONCE, pair="at once")


def scoring(plan: str, preset: str) -> Case:
    """The case on the model that a preset of `params.yaml` makes."""
    return Case(
        name=f"scoring-{preset.replace('_', '-')}",
        title=f"Scoring alone, preset `{preset}`",
        unit="rows a batch",
        measured="one batch: the mean of many, rows in memory, result in memory",
        sizes=Sizes(quick=(5, 1_000), usual=(5, 100, 1_000, 16_384, LARGEST)),
        contestants=(
            Contestant("Twinserve, batch by batch", "scoring.twinserve", ours=True, pair="one"),
            Contestant("scikit-learn predict_proba, batch by batch", "scoring.sklearn_proba", pair="one"),
            _at_once("Twinserve, batches at once", "scoring.twinserve", ours=True),
            _at_once("scikit-learn predict_proba, batches at once", "scoring.sklearn_proba"),
        ),
        inputs=partial(inputs, plan=plan, preset=preset),
        check=check,
        environment=in_world,
    )
