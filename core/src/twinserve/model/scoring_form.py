"""Which form of a loaded model serves: the one that its contract names, or the original."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from twinserve.contract import Contract, Score
from twinserve.errors import ContractMismatch
from twinserve.model.onnx_scorer import OnnxUnusable, load_onnx_score
from twinserve.steps.overlap import processors

logger = logging.getLogger(__name__)
Form = Literal["onnx", "original"]


def calls_at_once(form: Form) -> int:
    """How many threads that call a form's score keep the machine busy and out of each other's way.

    An ONNX form works on the calling thread alone. An original spreads a call over the cores as its class does.
    """
    return processors() if form == "onnx" else 1


def serving_form(
    name: str, folder: Path, contract: Contract, original: Callable[[], Score], wanted: str, *, few: bool = False
) -> tuple[Form, Score]:
    """The form that serves the model version `name`, its golden rows reproduced.

    Args:
        folder: the version's files.
        original: loads the original; called only where no other form serves.
        wanted: `auto`, or `original` for the original whatever the contract names.
        few: for a request's few rows, for which the contract may name another form.

    Raises:
        ContractMismatch: not even the original reproduces the golden rows.
    """
    chosen = contract.scoring
    if chosen and chosen.file and wanted == "auto" and chosen.form_for(few=few) == "onnx":
        try:
            score = load_onnx_score(_content(folder, chosen.file, chosen.sha256))
            contract.check_golden(score)
        except (OnnxUnusable, ContractMismatch) as error:
            logger.warning("%s is served by the original, which is slower: its ONNX form fails: %s", name, error)
        else:
            logger.info("%s scores by its ONNX form", name)
            return "onnx", score
    score = original()
    contract.check_golden(score)
    return "original", score


def _content(folder: Path, file: str, sha256: str | None) -> bytes:
    found = sorted(folder.rglob(file))
    if not found:
        raise OnnxUnusable(f"{file} is missing")
    content = found[0].read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise OnnxUnusable(f"{file} is not the one that the contract names")
    return content
