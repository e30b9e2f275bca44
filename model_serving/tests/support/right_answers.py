"""Which answers of `/inference` are right: held against scores that batch scoring gave for the same features."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from twinserve.registry import ServedModel

Known = dict[int, set[float | str]]  # of a key: the scores it may have, and the reasons for which it may be left out
CLOSE = 1e-9


class RightAnswers:
    """What may be answered, for each key; more than one thing while the online store changes.

    Args:
        known: of each key that may be asked for.
    """

    def __init__(self, known: Known) -> None:
        self.known = known
        self.flushed = False  # nothing is in the store, or not yet all: any key may be unknown

    def objection(self, asked: Sequence[int], answer: Mapping[str, Any]) -> str:
        """What is wrong with an answer to the highest score among `asked`; empty if nothing is."""
        left_out = {entry["id"]: entry["reason"] for entry in answer["left_out"]}
        if answer["error"] and answer["error"]["code"] != "no_candidate":
            return "" if answer["prediction"] is None and not left_out else "half an answer"
        scored = [key for key in dict.fromkeys(asked) if key not in left_out]
        wrong = [key for key, reason in left_out.items() if key not in asked or reason not in self._may_be(key)]
        if wrong or list(left_out) != [key for key in dict.fromkeys(asked) if key in left_out]:
            return f"left out wrongly: {wrong or list(left_out)}"
        return self._objection_to_best(scored, answer)

    def _objection_to_best(self, scored: list[int], answer: Mapping[str, Any]) -> str:
        best, score = answer["prediction"], answer["score"]
        if not scored:
            return "" if best is None and score is None else "a prediction out of nothing"
        scores = {key: [float(s) for s in self.known[key] if not isinstance(s, str)] for key in scored}
        if not all(scores.values()):
            return f"scored, and should not be: {[key for key in scored if not scores[key]]}"
        if best not in scores or not any(math.isclose(score, s, rel_tol=CLOSE) for s in scores[best]):
            return f"{best} has the score {score}, not one of {scores.get(best)}"
        better = [key for key in scored if min(scores[key]) > score * (1 + CLOSE)]
        return f"{best} is named, {better} are better" if better else ""

    def _may_be(self, key: int) -> set[float | str]:
        return self.known[key] | ({"unknown"} if self.flushed else set())


def scored_rows(model: ServedModel, rows: pd.DataFrame) -> dict[int, float]:
    """The score of each `driver_id` from its latest row, with nothing missing."""
    latest = rows.sort_values("event_timestamp").groupby("driver_id").last()
    values = latest[[feature.name for feature in model.contract.features]].to_numpy(np.float64)
    return dict(zip((int(key) for key in latest.index), model.original(values).tolist(), strict=True))
