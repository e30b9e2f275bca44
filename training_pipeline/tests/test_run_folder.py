from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from training_pipeline.run_folder import STEPS, RunFolder
from twinserve.embedded.redis import leased_redis
from twinserve.errors import BadInput, StepMissing, TransientError
from twinserve.features.feast_repo.store import apply_definitions


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


def test_a_run_goes_on_only_with_what_it_began_with(stalls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Model, parameters and definitions; each other one is named, and the run goes on when it is set back."""
    stalls.train("a", until="data-preparation")
    folder = stalls.scratch("a")
    before = {file: file.read_bytes() for file in folder.iterdir()}

    def refused(says: str, steps: tuple[str, ...] = STEPS[1:]) -> None:
        for step in steps:
            with pytest.raises(BadInput, match=says):
                stalls.run(step, "a")
        assert {file: file.read_bytes() for file in folder.iterdir()} == before

    with monkeypatch.context() as patch:
        patch.setenv("TWINSERVE_MODEL_NAME", "other")
        refused("begun with another TWINSERVE_MODEL_NAME: ranker then, other now", STEPS)
    stalls.set_params(model={"params": {"max_iter": 21}}, seed=8)
    refused(
        r"another params.yaml.model.params.max_iter: nothing then, 21 now; params.yaml.seed: 7 then, 8 now\. Set it"
    )
    stalls.set_params()
    definitions = stalls.root / "repo" / "definitions.py"
    text = definitions.read_text()
    definitions.write_text(text.replace("ttl=timedelta(", "ttl=timedelta(seconds=1) + timedelta("))
    with leased_redis(stalls.settings) as redis_url:
        apply_definitions(stalls.settings, redis_url)
    refused(r"another state of the definitions: \w+ then, \w+ now")
    definitions.write_text(text)
    with leased_redis(stalls.settings) as redis_url:
        apply_definitions(stalls.settings, redis_url)
    assert stalls.run("model-training", "a")["rows"]


def test_a_run_that_begins_again_may_have_other_parameters(stalls: Any) -> None:
    stalls.train("a", until="data-validation")
    stalls.set_params(seed=9)
    stalls.train("a", until="data-preparation")
    (stalls.scratch("a") / "bound.json").unlink()  # as an earlier release left it
    assert stalls.run("model-training", "a")["rows"]


def test_every_step_is_told_of_one_that_is_at_work(stalls: Any) -> None:
    run = RunFolder(stalls.scratch("a"), "a")
    with run.alone("data-preparation"):
        for step in STEPS:
            with pytest.raises(TransientError, match=rf"{step} of run 'a' can't begin: data-preparation of run 'a' \("):
                stalls.run(step, "a")
    assert [file.name for file in run.folder.iterdir()] == ["lock"], "nothing was touched"
