"""The folder in which the steps of one run hand each other files, and who must have been there before."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from training_pipeline.params import Params
from twinserve.contract import Contract, library_versions
from twinserve.errors import StepMissing
from twinserve.files.atomic import write_atomically
from twinserve.files.locks import alone
from twinserve.steps.same_arguments import refuse_others

logger = logging.getLogger(__name__)
MODEL, DEFINITIONS = "TWINSERVE_MODEL_NAME", "state of the definitions"
STEPS = (
    "feature-store-init",
    "data-extraction",
    "data-validation",
    "data-preparation",
    "model-training",
    "model-evaluation",
    "model-validation",
)


class RunFolder:
    """One run's files. A step that has done its work leaves `<step>.json`, its result.

    Args:
        folder: `settings.scratch("training_pipeline", run_key)`.
        run_key: as it was given on the command line, for messages.
    """

    def __init__(self, folder: Path, run_key: str) -> None:
        self.folder, self.run_key = folder, run_key
        self.labels = folder / "labels.parquet"
        self.training_rows = folder / "training_rows.parquet"
        self.data_report = folder / "data_checks.html"
        self.train = folder / "train.parquet"
        self.test = folder / "test.parquet"
        self.estimator = folder / "estimator.skops"

    @property
    def name(self) -> str:
        """The run key as MLflow knows it."""
        return self.folder.name

    def alone(self, step: str) -> AbstractContextManager[None]:
        """A block in which no other step of this run is at work.

        Raises:
            TransientError: one is; names it.
        """
        return alone(self.folder / "lock", f"{step} of run {self.run_key!r}")

    def begin(self, step: str) -> None:
        """Make sure that the step before is done; forget what this step and those after it did.

        Raises:
            StepMissing: names the command to run first.
        """
        number = STEPS.index(step)
        if number:
            self.result(STEPS[number - 1])
        for later in STEPS[number:]:
            self._marker(later).unlink(missing_ok=True)

    def finish(self, step: str, result: Mapping[str, Any]) -> Mapping[str, Any]:
        """Note that `step` is done; gives its result back."""
        self.write_json(step, result)
        return result

    def result(self, step: str) -> dict[str, Any]:
        """What `step` found.

        Raises:
            StepMissing: it was not run, or it failed.
        """
        marker = self._marker(step)
        if not marker.is_file():
            command = f"training-pipeline {step} --run-key {self.run_key}"
            raise StepMissing(f"{self.folder} has no result of {step}", fix=f"Run `{command}` first")
        found: dict[str, Any] = json.loads(marker.read_text(encoding="utf-8"))
        return found

    def write_json(self, name: str, content: Mapping[str, Any]) -> Path:
        """Write `<name>.json`; returns its path."""
        write_atomically(self._marker(name), json.dumps(content, indent=1, default=str, allow_nan=False) + "\n")
        return self._marker(name)

    def keep_params(self, params: Params) -> None:
        """Fix the parameters of this run."""
        write_atomically(self._marker("params"), params.model_dump_json(indent=1) + "\n")

    def bind(self, model_name: str, definitions: str | None) -> None:
        """Note which model the run is for, and the state of the definitions that it begins with."""
        self.write_json("bound", {MODEL: model_name, DEFINITIONS: definitions})

    def refuse_other_model(self, model_name: str) -> None:
        """Hold a first step to the model that a run of this key was for.

        Raises:
            BadInput: it was another.
        """
        refuse_others(f"run {self.run_key!r}", self._bound(), {MODEL: model_name}, "Take another run key")

    def refuse_others(self, model_name: str, params: Params, definitions: str | None) -> None:
        """Hold a later step to what the run began with; an earlier release noted the parameters alone.

        Raises:
            BadInput: this step was called with another model, other parameters or other definitions; names them.
            StepMissing: the run has not begun.
        """
        before = {"params.yaml": self.params().model_dump(mode="json"), **self._bound()}
        now = {"params.yaml": params.model_dump(mode="json"), MODEL: model_name, DEFINITIONS: definitions}
        begin = f"`training-pipeline {STEPS[0]} --run-key {self.run_key}`"
        refuse_others(f"run {self.run_key!r}", before, now, f"Set it back, or begin again with {begin}")

    def _bound(self) -> dict[str, Any]:
        marker = self._marker("bound")
        found: dict[str, Any] = json.loads(marker.read_text(encoding="utf-8")) if marker.is_file() else {}
        return found

    def params(self) -> Params:
        """The parameters that this run began with."""
        self.result("feature-store-init")
        return Params.model_validate_json(self._marker("params").read_bytes())

    def keep_contract(self, contract: Contract) -> None:
        """Note what the model will read and return; golden rows come with the model."""
        write_atomically(self._marker("contract"), contract.to_json())

    def contract(self) -> Contract:
        """The contract without golden rows."""
        self.result("feature-store-init")
        return Contract.from_json(self._marker("contract").read_bytes())

    def take_libraries(self) -> Contract:
        """The contract with the libraries that there are now, which are about to fit: an upgrade may lie in between."""
        begun = self.contract()
        now = library_versions(list(begun.libraries))
        if now != begun.libraries:
            logger.warning("run %s was begun with other libraries: it is fitted with those of now", self.run_key)
            self.keep_contract(begun.model_copy(update={"libraries": now}))
        return self.contract()

    def refuse_other_libraries(self) -> None:
        """What one version of a library has fitted is not told of, nor registered, by another.

        Raises:
            BadInput: there was an upgrade since; names the libraries.
        """
        fitted = self.contract().libraries
        again = f"`training-pipeline model-training --run-key {self.run_key}`"
        names, now = {"library": fitted}, {"library": library_versions(list(fitted))}
        refuse_others(f"run {self.run_key!r}", names, now, f"Install it again, or fit anew with {again}")

    def _marker(self, name: str) -> Path:
        return self.folder / f"{name}.json"
