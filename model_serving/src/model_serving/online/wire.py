"""What goes over the wire: the request's shape, derived from a contract, and the one shape of every answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, FailFast, Field, create_model

from twinserve.contract import Contract

MAX_TEXT_KEY = 256
MAX_REQUEST_ID = 128
EXAMPLE_REQUEST_ID = "uuid-1"
INTEGER_BITS = {"INT32": 32, "INT64": 64}
Key = int | str


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Problem(_Wire):
    """What is wrong, as a stable code and in words."""

    code: str = Field(description="stable; made for programs", examples=["no_candidate"])
    message: str = Field(description="made for people")
    field: str | None = Field(description="the part of the request that is wrong, where it is one")


class Model(_Wire):
    """The registered version that answered."""

    name: str
    version: str


class LeftOut(_Wire):
    """A candidate that could not be scored."""

    id: Key
    reason: Literal["unknown", "stale", "null", "no_score"] = Field(
        description="unknown: never seen; stale: its features are too old; null: a feature has no value; "
        "no_score: the model gave no finite number"
    )


class Answer(_Wire):
    """Every body that `/inference` sends has these keys, whatever its status."""

    request_id: str | None = Field(description="as given; null where the request did not carry a usable one")
    prediction: Key | None = Field(description="the best candidate; the first of the request among equals")
    score: float | None = Field(description="the best candidate's score")
    error: Problem | None
    model: Model | None
    left_out: tuple[LeftOut, ...] = Field(description="in the order of the request")


@dataclass(frozen=True)
class InferenceRequest:
    """A request that has passed validation. Each key once, in order of first appearance."""

    request_id: str
    keys: tuple[Key, ...]


class InferenceBody(BaseModel):
    """A request body; strict, so that `"1"`, `1.0` and `true` are no integers."""

    model_config = ConfigDict(strict=True, extra="forbid")
    request_id: str = Field(
        min_length=1, max_length=MAX_REQUEST_ID, description="comes back in the answer, to find it again"
    )
    candidates: Any  # typed, and named after the join key, by `request_shape`


@dataclass(frozen=True)
class RequestShape:
    """What requests must look like for one contract.

    Attributes:
        field: name of the list of candidates: the join key and an `s`.
        body: `InferenceBody` with that list.
        example: a body that fits.
    """

    field: str
    body: type[InferenceBody]
    example: dict[str, Any]


def request_shape(contract: Contract, max_candidates: int) -> RequestShape:
    """Derive the request from the contract's one join key."""
    key = contract.join_keys[0]
    field = f"{key.name}s"
    kind = _integer_key(INTEGER_BITS[key.dtype]) if key.dtype in INTEGER_BITS else _TEXT_KEY
    body = create_model(
        "InferenceRequest", __base__=InferenceBody, candidates=(_candidates(kind, max_candidates), Field(alias=field))
    )
    return RequestShape(field, body, {"request_id": EXAMPLE_REQUEST_ID, field: _example_keys(key.dtype)})


_TEXT_KEY = Annotated[str, Field(max_length=MAX_TEXT_KEY)]


def _integer_key(bits: int) -> Any:
    return Annotated[int, Field(ge=-(1 << bits - 1), le=(1 << bits - 1) - 1)]


def _candidates(kind: Any, most: int) -> Any:
    listed = Field(min_length=1, max_length=most, description="ids to choose from; one given twice counts once")
    return Annotated[list[kind], FailFast(), listed]


def _example_keys(dtype: str) -> list[Key]:
    return [1001, 1002, 1003, 1004, 1005] if dtype in INTEGER_BITS else ["a", "b", "c", "d", "e"]
