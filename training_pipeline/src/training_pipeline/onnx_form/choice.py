"""The form in which a version will score: ONNX where that is faithful and faster, else the original."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from training_pipeline.onnx_form.conversion import Converted, convert
from training_pipeline.onnx_form.faithfulness import compare
from training_pipeline.onnx_form.hard_rows import hard_rows
from training_pipeline.onnx_form.refusals import largest_taken, takes_nan
from training_pipeline.onnx_form.speed import Speeds, measured_speeds
from training_pipeline.onnx_form.trees import NotConvertible
from twinserve.contract import Contract, Score, Scoring, as_matrix
from twinserve.missing import Matrix
from twinserve.model.onnx_scorer import CHUNK, OnnxUnusable, Usage, load_onnx_score
from twinserve.model.scoring_form import Form, calls_at_once

logger = logging.getLogger(__name__)
SCORER_FILE = "scorer.onnx"
MARGIN = 1.1  # faster by less is not worth another form


@dataclass(frozen=True)
class Chosen:
    """What the contract says of the form, and its file; empty for the original."""

    scoring: Scoring
    content: bytes = b""


def choose_form(estimator: Any, original: Score, contract: Contract, known: Matrix, seed: int) -> Chosen:
    """Make the ONNX form, hold it against the original, measure both.

    Each is measured as batch prediction calls it: with as many calls at once. Compared are the golden rows,
    each by itself, all known rows, and rows made to be hard; one that is apart by more than the contract's
    tolerance is enough to keep the original.

    Args:
        original: the estimator's score.
        contract: with its golden rows.
        known: (rows, features), at least one row.
    """
    try:
        chosen = _choose(estimator, original, contract, known, seed)
    except (NotConvertible, OnnxUnusable) as error:
        chosen = Chosen(Scoring(form="original", why=str(error)))
    logger.info("the version will score by %s: %s", chosen.scoring.form, chosen.scoring.why)
    return chosen


def _choose(estimator: Any, original: Score, contract: Contract, known: Matrix, seed: int) -> Chosen:
    converted = convert(estimator, contract, known)
    content = converted.content(_usage(converted, original, contract))
    score = load_onnx_score(content)
    rows, largest = refuse_unfaithful(original, score, contract, known, hard_rows(known, converted.thresholds, seed))
    forms: dict[Form, Score] = {"original": original, "onnx": score}
    speeds = {form: measured_speeds(each, known, calls_at_once(form)) for form, each in forms.items()}
    many, few, why = judged(speeds)
    facts = {"why": why, "rows_compared": rows, "largest_difference": largest, "rows_per_second": speeds}
    if "onnx" not in (many, few):
        return Chosen(Scoring(form="original", **facts))
    digest = hashlib.sha256(content).hexdigest()
    return Chosen(
        Scoring(form=many, small=None if few == many else "onnx", file=SCORER_FILE, sha256=digest, **facts), content
    )


def refuse_unfaithful(
    original: Score, score: Score, contract: Contract, known: Matrix, hard: Matrix
) -> tuple[int, float | None]:
    """How many rows were compared, and the largest relative difference among them.

    Raises:
        NotConvertible: a row is apart; shows the first.
    """
    golden = [as_matrix([row.features]) for row in contract.golden]
    found = [compare(original, score, rows, contract.tolerance) for rows in (*golden, known, hard)]
    total = sum(one.rows for one in found)
    if apart := sum(one.apart for one in found):
        worst = next(one.worst for one in found if one.worst)
        raise NotConvertible(f"its ONNX form is not faithful: {apart} of {total} rows are apart, {worst}")
    return total, max((one.largest for one in found if one.largest is not None), default=None)


def judged(speeds: Mapping[Form, Speeds]) -> tuple[Form, Form, str]:
    """The form for large batches, the form for a request's few rows, and why in words.

    ONNX takes either where it is faster; large batches only where it is no slower on few rows, so that a version that
    has two forms scores by ONNX online.
    """
    gain = {size: speeds["onnx"][size] / speeds["original"][size] for size in speeds["onnx"]}
    large = gain.pop(str(CHUNK))
    many: Form = "onnx" if large >= MARGIN and min(gain.values()) >= 1 else "original"
    few: Form = "onnx" if many == "onnx" or min(gain.values()) >= MARGIN else "original"
    figures = ", ".join(f"{factor:.1f} times at {int(size):,}" for size, factor in {**gain, str(CHUNK): large}.items())
    return many, few, f"the rows per second of ONNX are {figures} rows a batch those of the original"


def _usage(converted: Converted, original: Score, contract: Contract) -> Usage:
    row = np.ravel(_typical(contract))
    return converted.usage.model_copy(
        update={"takes_nan": takes_nan(original, row), "largest": largest_taken(original, row)}
    )


def _typical(contract: Contract) -> Matrix:
    """The golden row with the fewest gaps: one that the original does score."""
    rows = as_matrix([row.features for row in contract.golden])
    return rows[[int(np.isnan(rows).sum(axis=1).argmin())]]
