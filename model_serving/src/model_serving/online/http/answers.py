"""The bytes of every answer of `/inference`, as `schemas.Answer` describes them."""

from __future__ import annotations

import json

from pydantic_core import to_json

from model_serving.online.inference.data_plane import Choice
from model_serving.online.inference.refusals import Refusal

# ASCII, since a client may send half a surrogate pair and we may have to name it
_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


def choice_body(choice: Choice, model: dict[str, str]) -> bytes:
    """What `Answer(…).model_dump_json()` gives for this choice, without making one."""
    left_out, passed, ranking = choice.left_out, choice.passed_as_nan, choice.ranking
    return to_json(
        {
            "request_id": choice.request_id,
            "prediction": choice.prediction,
            "score": choice.score,
            "error": None,
            "model": model,
            "left_out": [{"id": key, "reason": reason} for key, reason in left_out] if left_out else (),
            "passed_as_nan": [{"id": key, "missing": missing} for key, missing in passed] if passed else (),
            "ranking": None if ranking is None else [{"id": key, "score": score} for key, score in ranking],
        }
    )


def refusal_body(refusal: Refusal) -> bytes:
    """The answer that says no."""
    return _encode(refusal.answer.model_dump(mode="json")).encode("ascii")
