"""From bytes to a validated request, or a refusal that says which part is wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from model_serving.online.http.json_size import refuse_swollen
from model_serving.online.inference.refusals import Refusal
from model_serving.online.inference.schemas import MAX_REQUEST_ID, InferenceBody, InferenceRequest, RequestShape

MAX_SHOWN = 120
MOST_DIGITS = 20  # no integer of a request has as many
PYTHON_DIGITS = 4300  # `int` takes no more
_CODES = {
    "missing": "missing_field",
    "extra_forbidden": "unknown_field",
    "too_short": "empty_list",
    "too_long": "too_many_candidates",
    "string_too_short": "out_of_range",
    "string_too_long": "out_of_range",
    "greater_than_equal": "out_of_range",
    "less_than_equal": "out_of_range",
}


def parse_request(body: bytes, shape: RequestShape) -> InferenceRequest:
    """Read a request body.

    Raises:
        Refusal: it is no JSON, or not of the shape; carries the request's id if that much could be read.
    """
    refuse_swollen(body, shape.most_marks)
    try:
        valid = shape.body.__pydantic_validator__.validate_json(body)
    except ValidationError:
        valid = None
    if valid is None or b"\\" in body or body.count(b'"') != _quotes(valid, shape):
        valid = _validated_at_length(body, shape)
    return _request(valid, shape)


def _validated_at_length(body: bytes, shape: RequestShape) -> InferenceBody:
    """What refuses a body too: the quick way does not see a field that is given twice, nor tells what is wrong."""
    document = _document(body)
    try:
        return shape.body.model_validate(document)
    except ValidationError as error:
        raise _refusal(error.errors(include_url=False, include_context=False)[0], _request_id(document)) from None


def _quotes(valid: InferenceBody, shape: RequestShape) -> int:
    """How many quotation marks a body without escapes has if it gives each field once."""
    named = len(shape.join_keys) if len(shape.join_keys) > 1 else 0
    per_candidate = 2 * (named + shape.text_keys)
    return 6 + (2 if valid.top_k is not None else 0) + per_candidate * len(valid.candidates)


def _request(valid: InferenceBody, shape: RequestShape) -> InferenceRequest:
    names = shape.join_keys
    if len(names) == 1:
        ids = list(dict.fromkeys(valid.candidates))
        return InferenceRequest(valid.request_id, ids, {names[0]: ids}, valid.top_k)
    rows = dict.fromkeys(tuple(candidate[name] for name in names) for candidate in valid.candidates)
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    objects = [dict(zip(names, row, strict=True)) for row in rows]
    return InferenceRequest(valid.request_id, objects, columns, valid.top_k)


def _document(body: bytes) -> Any:
    try:
        return json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_int=_integer,
            parse_float=_number,
            parse_constant=_no_number,
        )
    except RecursionError:
        raise Refusal("not_json", "the body is nested too deeply") from None
    except ValueError as error:  # JSONDecodeError, UnicodeDecodeError, a number of thousands of digits
        raise Refusal("not_json", f"the body is no JSON: {_short(str(error))}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise Refusal("duplicate_field", "a field is given twice", field=_short(name))
        members[name] = value
    return members


def _integer(text: str) -> int:
    """Of one with too many digits only so many that it has too many: the time to read it grows with their square."""
    return int(text[: MOST_DIGITS + 2] if len(text) <= PYTHON_DIGITS else text)


def _number(text: str) -> int | float:
    """As JSON Schema has it, which OpenAPI follows: `1.0` and `1e3` are integers."""
    with suppress(InvalidOperation):
        exact = Decimal(text)
        if exact.adjusted() < MOST_DIGITS and exact == exact.to_integral_value():
            return int(exact)
    return float(text)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _refusal(problem: ErrorDetails, request_id: str | None) -> Refusal:
    code = _CODES.get(problem["type"], "wrong_type")
    where = _place(problem["loc"])
    return Refusal(code, f"{where or 'the body'}: {_short(problem['msg'])}", field=where, request_id=request_id)


def _place(location: tuple[int | str, ...]) -> str | None:
    """`('ids', 3, 'day')` as `ids[3].day`; None for the whole body."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in location]
    return _short("".join(parts).removeprefix(".")) if parts else None


def _request_id(document: Any) -> str | None:
    found = document.get("request_id") if isinstance(document, Mapping) else None
    return found if isinstance(found, str) and 0 < len(found) <= MAX_REQUEST_ID else None


def _short(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"
