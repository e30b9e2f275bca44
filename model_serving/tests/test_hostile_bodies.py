"""Bodies within the limit of bytes that are made to take time: refused before anything is built of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from request_shapes import DRIVERS, MOST, SHOPS, TRIPS, refusal

from model_serving.online.http.json_size import refuse_swollen
from model_serving.online.http.parsing import parse_request
from model_serving.online.inference.refusals import Refusal
from model_serving.online.inference.schemas import MAX_TEXT_KEY, RequestShape

MEGABYTE = 1 << 20


def calls_of_python(action: Callable[[], object]) -> int:
    """How many Python functions run: what takes the time, counted instead of timed."""
    calls = 0

    def note(_: object, event: str, __: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(note)
    try:
        action()
    finally:
        sys.setprofile(None)
    return calls


STARTS = [b'{"x":[', b'{"request_id":"a","driver_ids":[', b'{"request_id":"\\u0041","driver_ids":[']
UNITS = [b"{}", b"[]", b"[[1]]", b'{"a":1}', b"1", b"1e1", b"1.5", b'"\\""', b'"\\\\"', b'","']


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("unit", UNITS)
def test_more_values_than_a_request_may_have_are_not_even_parsed(start: bytes, unit: bytes) -> None:
    body = start + b",".join([unit] * ((MEGABYTE - 99) // (len(unit) + 1))) + b"]}"
    json.loads(body)
    told: list[Refusal] = []
    assert calls_of_python(lambda: told.append(refusal(body))) < 200
    assert (told[0].code, told[0].status) == ("too_many_candidates", 413)


def test_so_are_more_names() -> None:
    names = ",".join(f'"k{number}":1' for number in range(80_000))
    body = f'{{"request_id": "a", "driver_ids": [1], {names}}}'.encode()
    assert calls_of_python(lambda: refusal(body)) < 200


@pytest.mark.parametrize("body", [b"[" * MEGABYTE, b'{"a":' * 200_000, b"[1]," * 200_000 + b"]"])
def test_brackets_that_do_not_match_are_no_json(body: bytes) -> None:
    assert refusal(body).code == "not_json"


@pytest.mark.parametrize("digits", [21, 22, 23, 4300])
def test_a_long_integer_is_out_of_range_however_long_it_is(digits: int) -> None:
    for sign in ("", "-"):
        bad = refusal(f'{{"request_id": "a", "driver_ids": [{sign}{"9" * digits}]}}'.encode())
        assert (bad.code, bad.field) == ("out_of_range", "driver_ids[0]")


@pytest.mark.parametrize("shape", [DRIVERS, SHOPS, TRIPS])
def test_what_is_wrong_with_twice_as_many_candidates_is_still_told(shape: RequestShape) -> None:
    example = shape.example[shape.field]
    body = json.dumps({"request_id": "r", shape.field: (example * 2 * MOST)[: 2 * MOST]}, indent=4).encode()
    refused = refusal(body, shape)
    assert (refused.code, refused.field, refused.request_id) == ("too_many_candidates", shape.field, "r")


def test_texts_may_hold_what_they_like() -> None:
    texts = [mark * (MAX_TEXT_KEY - number) for number, mark in enumerate((",", "[{", '",', "\\,", '\\",'))]
    texts = [text[:MAX_TEXT_KEY] for text in texts]
    body = json.dumps({"request_id": "[,{" * 40, "shops": texts}).encode()
    shape = SHOPS.__class__(**{**vars(SHOPS), "most_marks": 10})
    assert len(body) > shape.most_marks
    assert parse_request(body, shape).ids == texts


TEXTS = st.text(st.sampled_from('\\",[{]}:a'), max_size=12)
DOCUMENTS = st.recursive(
    st.integers() | TEXTS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=12
)


@given(DOCUMENTS)
def test_the_marks_are_those_outside_texts(document: object) -> None:
    body = json.dumps(document).encode()
    marks = marks_of(document)
    refuse_swollen(body, marks)
    if marks:
        with pytest.raises(Refusal, match="more values"):
            refuse_swollen(body, marks - 1)


def marks_of(document: object) -> int:
    """Of the document as it is written: a bracket for each container, a comma between any two of its members."""
    if isinstance(document, dict):
        return marks_of(list(document.values()))
    if isinstance(document, list):
        return 1 + max(0, len(document) - 1) + sum(map(marks_of, document))
    return 0


@given(st.binary() | st.text(st.sampled_from('\\",[{]}:1')).map(str.encode), st.integers(0, 20))
def test_few_marks_are_never_refused(body: bytes, room: int) -> None:
    marks = sum(map(body.count, (b",", b"[", b"{")))
    refuse_swollen(body, max(room, marks))
