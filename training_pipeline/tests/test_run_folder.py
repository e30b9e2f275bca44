from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from training_pipeline.run_folder import STEPS, RunFolder
from twinserve.errors import StepMissing, TransientError


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run_1", "run:1")


@pytest.mark.parametrize("number", range(1, len(STEPS)))
def test_a_missing_step_is_named_with_its_command(run: RunFolder, number: int) -> None:
    with pytest.raises(StepMissing, match=f"Run `training-pipeline {STEPS[number - 1]} --run-key run:1` first"):
        run.begin(STEPS[number])


def test_a_step_that_begins_again_forgets_those_after_it(run: RunFolder) -> None:
    for step in STEPS:
        run.finish(step, {"step": step})

    run.begin("data-validation")

    assert run.result("data-extraction") == {"step": "data-extraction"}
    for step in STEPS[STEPS.index("data-validation") :]:
        with pytest.raises(StepMissing):
            run.result(step)


def test_every_step_is_told_of_one_that_is_at_work(stalls: Any) -> None:
    run = RunFolder(stalls.scratch("a"), "a")
    with run.alone("data-preparation"):
        for step in STEPS:
            with pytest.raises(TransientError, match=rf"{step} of run 'a' can't begin: data-preparation of run 'a' \("):
                stalls.run(step, "a")
    assert [file.name for file in run.folder.iterdir()] == ["lock"], "nothing was touched"
