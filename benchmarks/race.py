"""Contestants of one case at one size, in turn, each in a process of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from benchmarks.contest import Answer, Case, Contestant
from benchmarks.job import Job
from benchmarks.measurement import Measurement
from benchmarks.process import Run, RunFailed
from benchmarks.table import duration
from benchmarks.workspace import Workspace

logger = logging.getLogger(__name__)
RUNS = 3
ONCE_FROM_SECONDS = 30.0
Tell = Callable[[str], None]


@dataclass
class Lane:
    """One contestant's runs so far."""

    contestant: Contestant
    runs: list[Run] = field(default_factory=list)
    answer: Answer | None = None
    absent: str = ""

    def again(self, runs: int) -> bool:
        """Whether it runs once more: not if it was slow, since its figure won't change what the table says."""
        slow = bool(self.runs) and self.runs[0].seconds > ONCE_FROM_SECONDS
        return not self.absent and len(self.runs) < runs and not slow


def race(workspace: Workspace, case: Case, size: int, runs: int, tell: Tell) -> list[Measurement]:
    """Run all contestants that take part at this size, up to `runs` times, forwards and backwards in turn.

    The first round goes backwards, so that our answer is compared with that of the others. A run that fails is told,
    and its contestant is absent.
    """
    lanes = [Lane(each, absent="" if size <= each.largest else "not run at this size") for each in case.contestants]
    with case.inputs(workspace, size) as inputs:
        for turn in range(runs):
            for lane in lanes if turn % 2 else reversed(lanes):
                if lane.again(runs):
                    _run(workspace, case, Job(size, workspace.scratch, inputs, lane.contestant.options), lane)
                    tell(_line(case, size, lane, runs))
    return [measurement(case, size, lane) for lane in lanes]


def _run(workspace: Workspace, case: Case, job: Job, lane: Lane) -> None:
    with workspace.run_folder() as folder:
        own = replace(job, folder=folder, inputs=_own_key(job.inputs, folder.name))
        try:
            run = workspace.contest(
                f"benchmarks.contestants.{lane.contestant.module}", own, case.environment(workspace, own)
            )
        except RunFailed as failure:
            logger.warning("%s, %s at %s: %s", case.name, lane.contestant.name, f"{job.size:,}", failure)
            lane.absent = "took too long" if "was stopped after" in str(failure) else "failed"
            return
        answer = own.output.stat().st_size if own.output.exists() else 0
        lane.runs.append(replace(run, scratch_bytes=max(run.scratch_bytes - answer, 0)))
        lane.answer = lane.answer or case.check(workspace, own, run.facts)


def _own_key(inputs: dict[str, str], run: str) -> dict[str, str]:
    """A run key stands for one output: each run has its own."""
    return {**inputs, "run_key": inputs["run_key"] + run} if "run_key" in inputs else inputs


def measurement(case: Case, size: int, lane: Lane) -> Measurement:
    """What the lane has come to."""
    who = lane.contestant
    basis = Measurement(case.name, size, who.name, who.ours, who.limit, absent=lane.absent, pair=who.pair)
    if lane.absent:
        return basis
    return replace(
        basis,
        seconds=tuple(run.seconds for run in lane.runs),
        peak_bytes=tuple(run.peak_bytes for run in lane.runs),
        scratch_bytes=max(run.scratch_bytes for run in lane.runs),
        answer=lane.answer,
    )


def wrong(measurements: list[Measurement]) -> Iterator[str]:
    """What makes the whole call fail: a contestant that could not run, a wrong answer, a lost row of ours."""
    for each in measurements:
        where = f"{each.case}, {each.contestant} at {each.size:,}"
        if each.absent in ("failed", "took too long"):
            yield f"{where} {each.absent}"
        elif each.answer and each.answer.same is False:
            yield f"{where} gives another answer"
        elif each.answer and each.ours and (each.answer.lost or each.answer.ordered is False):
            yield f"{where} lost {each.answer.lost} rows or their order"


def _line(case: Case, size: int, lane: Lane, runs: int) -> str:
    what = f"{case.name} {size:>11,}  {lane.contestant.name:52}"
    if lane.absent:
        return f"{what} {lane.absent}"
    run = lane.runs[-1]
    return f"{what} {duration(run.seconds):>8} {run.peak_bytes / 1e6:8,.0f} MB  (run {len(lane.runs)} of up to {runs})"
