"""Steps: all that the README runs, on little data: what remains is what a step takes to begin."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.contest import Answer, Case, Contestant, Sizes
from benchmarks.contestants.steps.walk import STEPS
from benchmarks.job import Facts, Job
from benchmarks.process import CHECKOUT
from benchmarks.workspace import Workspace

DISK_BYTES = 500_000_000


@contextmanager
def inputs(workspace: Workspace, _size: int) -> Iterator[dict[str, str]]:
    """Each run begins with an empty home."""
    workspace.need(DISK_BYTES, "a walk through all steps")
    yield {"bytecode": str(workspace.folder / "bytecode")}


def check(_workspace: Workspace, job: Job, facts: Facts) -> Answer:
    """A step that fails ends the run; which took longest is worth a note."""
    took: dict[str, float] = facts["took"]
    slowest = max(took, key=lambda step: took[step])
    return Answer(len(took), job.size - len(took), same=None, note=f"longest {slowest} {took[slowest]:.1f} s")


def steps(older: Path | None) -> Case:
    """The case, by this build and by that in another checked out tree."""
    import yaml

    plan = yaml.safe_load((CHECKOUT / "benchmarks" / "world.yaml").read_text(encoding="utf-8"))["steps"]
    world = " ".join(f"--{name}={value}" for name, value in plan.items())
    trees = {"Twinserve": CHECKOUT, **({"an older build": older} if older else {})}
    return Case(
        name="steps",
        title="Steps, from sample data to predictions, on little data",
        unit="steps",
        measured="whole processes from start to end, one after the other",
        sizes=Sizes(quick=(2,), usual=(len(STEPS),)),
        contestants=tuple(
            Contestant(name, "steps.walk", ours=tree == CHECKOUT, options={"tree": str(tree), "world": world})
            for name, tree in trees.items()
        ),
        inputs=inputs,
        check=check,
    )
