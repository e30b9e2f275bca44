"""What goes over the wire: the request's shape, derived from a contract, and the one shape of every answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, FailFast, Field, create_model, with_config
from typing_extensions import TypedDict

from twinserve.contract import Contract, JoinKey

MAX_TEXT_KEY = 256
MAX_REQUEST_ID = 128
ROOM_FOR_MISTAKES = 1000
EXAMPLE_REQUEST_ID = "uuid-1"
_TOP_K = "how many of the best to list in `ranking`"
INTEGER_BITS = {"INT32": 32, "INT64": 64}
Key = int | str
Id = Key | dict[str, Key]  # of a candidate; an object where the contract has several join keys


class _Schema(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Problem(_Schema):
    """What is wrong, as a stable code and in words."""

    code: str = Field(description="stable; made for programs", examples=["no_candidate"])
    message: str = Field(description="made for people")
    field: str | None = Field(description="the part of the request that is wrong, where it is one")


class Model(_Schema):
    """The registered version that answered."""

    name: str
    version: str


class LeftOut(_Schema):
    """A candidate that could not be scored."""

    id: Id
    reason: Literal["unknown", "stale", "null", "no_score"] = Field(
        description="unknown: never seen; stale: its features are too old; null: a feature has no value; "
        "no_score: the model gave no finite number"
    )


class PassedAsNaN(_Schema):
    """A candidate that was scored although it lacks features."""

    id: Id
    missing: dict[str, Literal["unknown", "stale", "null"]] = Field(
        description="feature view and why its features, or some of them, were a NaN to the model; with several reasons "
        "the first of: unknown, stale, null",
        examples=[{"weather": "stale"}],
    )


class Ranked(_Schema):
    """A candidate and its score."""

    id: Id
    score: float


class Answer(_Schema):
    """Every body that `/inference` sends has these keys, whatever its status."""

    request_id: str | None = Field(description="as given; null where the request did not carry a usable one")
    prediction: Id | None = Field(description="the best candidate; the first of the request among equals")
    score: float | None = Field(description="the best candidate's score")
    error: Problem | None
    model: Model | None
    left_out: tuple[LeftOut, ...] = Field(description="in the order of the request")
    passed_as_nan: tuple[PassedAsNaN, ...] = Field(
        default=(),
        description="candidates that have a score, and may be the prediction, although features of theirs are missing: "
        "the model was given NaN for these, as its contract asks for; in the order of the request",
    )
    ranking: tuple[Ranked, ...] | None = Field(
        default=None, description="the best `top_k` that have a score, best first; null where `top_k` was not given"
    )


@dataclass(frozen=True, slots=True)
class InferenceRequest:
    """A request that has passed validation.

    Attributes:
        ids: of the candidates, as given; each once, in order of first appearance.
        keys: join key → its value of each candidate.
    """

    request_id: str
    ids: Sequence[Id]
    keys: Mapping[str, Sequence[Key]]
    top_k: int | None = None


class InferenceBody(BaseModel):
    """A request body; strict, so that `"1"`, `1.5` and `true` are no integers."""

    model_config = ConfigDict(strict=True, extra="forbid")
    request_id: str = Field(
        min_length=1, max_length=MAX_REQUEST_ID, description="comes back in the answer, to find it again"
    )
    candidates: Any  # typed, and named after the join key, by `request_shape`
    top_k: int | None  # bounded by `request_shape`


@dataclass(frozen=True)
class RequestShape:
    """What requests must look like for one contract.

    Attributes:
        field: name of the list of candidates: the join key and an `s`, or `candidates` for several join keys.
        join_keys: their names.
        text_keys: how many of them are texts.
        most_marks: how many commas and opening brackets a body may have before it is not even looked at: twice as many
            as the largest good one, and room for a few mistakes.
        body: `InferenceBody` with that list.
        example: a body that fits.
    """

    field: str
    join_keys: tuple[str, ...]
    text_keys: int
    most_marks: int
    body: type[InferenceBody]
    example: dict[str, Any]


def request_shape(contract: Contract, max_candidates: int) -> RequestShape:
    """Derive the request from the contract's join keys."""
    keys = contract.join_keys
    field = f"{keys[0].name}s" if len(keys) == 1 else "candidates"
    kind = _key(keys[0]) if len(keys) == 1 else _candidate(keys)
    body = create_model(
        "InferenceRequest",
        __base__=InferenceBody,
        candidates=(_candidates(kind, max_candidates), Field(alias=field)),
        top_k=(int | None, Field(default=None, ge=1, le=max_candidates, description=_TOP_K)),
    )
    example = {"request_id": EXAMPLE_REQUEST_ID, field: _example_ids(keys)}
    texts = sum(key.dtype not in INTEGER_BITS for key in keys)
    per_candidate = 1 if len(keys) == 1 else 1 + len(keys)
    most_marks = 2 * per_candidate * max_candidates + ROOM_FOR_MISTAKES
    return RequestShape(field, tuple(key.name for key in keys), texts, most_marks, body, example)


def _key(key: JoinKey) -> Any:
    if key.dtype not in INTEGER_BITS:
        return Annotated[str, Field(max_length=MAX_TEXT_KEY)]
    half = 1 << INTEGER_BITS[key.dtype] - 1
    return Annotated[int, Field(ge=-half, le=half - 1)]


def _candidate(keys: Sequence[JoinKey]) -> Any:
    """An object of several join keys, which stays a dict."""
    candidate: Any = TypedDict("Candidate", {key.name: _key(key) for key in keys})  # type: ignore[misc]
    return with_config(ConfigDict(strict=True, extra="forbid"))(candidate)


def _candidates(kind: Any, most: int) -> Any:
    listed = Field(min_length=1, max_length=most, description="ids to choose from; one given twice counts once")
    return Annotated[list[kind], FailFast(), listed]


def _example_ids(keys: Sequence[JoinKey]) -> list[Any]:
    columns = [[1001, 1002, 1003, 1004, 1005] if key.dtype in INTEGER_BITS else list("abcde") for key in keys]
    if len(keys) == 1:
        return columns[0]
    return [dict(zip((key.name for key in keys), values, strict=True)) for values in zip(*columns, strict=True)]
