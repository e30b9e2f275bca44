"""A model version that can score: loaded from its files, its golden rows reproduced."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from twinserve.contract import Contract, Score
from twinserve.model.model_files import load_original, read_contract
from twinserve.model.scoring_form import Form, calls_at_once, serving_form


@dataclass(frozen=True)
class ServedModel:
    """A version that was loaded and has reproduced its golden rows.

    Attributes:
        score: (rows, features) float64 → (rows,) float64. The form `onnx` is safe to call from several threads at once.
        form: what `score` is. `onnx` runs on the calling thread alone; the original spreads a call over the cores as
            its class does.
        reference: the original, where `score` is another form and the original was asked for as well.
    """

    name: str
    version: str
    contract: Contract
    score: Score
    form: Form = "original"
    reference: Score | None = None

    @property
    def original(self) -> Score:
        """The estimator as it was trained, to compare models by; for whoever loaded it with its original."""
        if self.reference is not None:
            return self.reference
        assert self.form == "original", "loaded without its original"  # noqa: S101 - a mistake of the caller's
        return self.score

    @property
    def calls_at_once(self) -> int:
        """How many threads that call `score` keep the machine busy and out of each other's way; batch uses so many."""
        return calls_at_once(self.form)


def load_served(
    name: str, version: str, folder: Path, scorer: str, *, with_original: bool, few: bool = False
) -> ServedModel:
    """Load a version from its files.

    Args:
        name: of the registered model.
        version: empty for one that has no number yet.
        scorer: `auto`, or `original` for the original whatever the contract names.
        few: for the few rows of a request at a time.
        with_original: load the estimator even where another form scores; its library takes seconds to import.

    Raises:
        ContractMismatch: the files are damaged, or don't reproduce the golden rows.
    """
    label = f"{name} version {version}" if version else f"the new version of {name}"
    contract = read_contract(label, folder)
    original = cache(lambda: load_original(label, folder, contract))
    if with_original:
        original()
    form, score = serving_form(label, folder, contract, original, scorer, few=few)
    return ServedModel(name, version, contract, score, form, original() if with_original else None)
