"""Request bodies, good and bad."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from request_shapes import DRIVERS, MOST, SHOPS, TRIPS, refusal, shape

from model_serving.online.http.answers import choice_body, refusal_body
from model_serving.online.http.parsing import parse_request
from model_serving.online.inference.data_plane import Choice
from model_serving.online.inference.refusals import Refusal
from model_serving.online.inference.schemas import (
    Answer,
    InferenceRequest,
    LeftOut,
    Model,
    PassedAsNaN,
    Ranked,
)

GOOD = {"request_id": "uuid-1", "driver_ids": [1001, 1002]}


def test_the_field_is_the_join_key_and_an_s() -> None:
    request = parse_request(json.dumps(GOOD).encode(), DRIVERS)
    assert (request.request_id, request.ids, request.keys) == ("uuid-1", [1001, 1002], {"driver_id": [1001, 1002]})
    assert parse_request(b'{"request_id": "a", "shops": ["x", ""]}', SHOPS).ids == ["x", ""]


@pytest.mark.parametrize("key", ["model_id", "_id", "json", "class", "request", "copy", "candidate"])
def test_any_join_key_makes_a_field(key: str) -> None:
    body = json.dumps({"request_id": "a", f"{key}s": [1]}).encode()
    assert parse_request(body, shape(key)).ids == [1]


def test_repeated_ids_count_once_in_order_of_first_appearance() -> None:
    assert parse_request(b'{"request_id": "a", "driver_ids": [3, 1, 3, 2, 1]}', DRIVERS).ids == [3, 1, 2]


@pytest.mark.parametrize("dtype", ["INT32", "INT64", "STRING"])
def test_the_example_is_a_good_request(dtype: str) -> None:
    of = shape("entity", dtype)
    assert len(parse_request(json.dumps(of.example).encode(), of).ids) == MOST


def test_the_ends_of_an_integer_key_are_taken() -> None:
    for dtype, bits in (("INT32", 32), ("INT64", 64)):
        low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        body = json.dumps({"request_id": "a", "ks": [low, high]}).encode()
        assert parse_request(body, shape("k", dtype)).ids == [low, high]
        for beyond in (low - 1, high + 1):
            bad = refusal({"request_id": "a", "ks": [1, beyond]}, shape("k", dtype))
            assert (bad.code, bad.field) == ("out_of_range", "ks[1]")


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({}, "missing_field", "request_id"),
        ({"request_id": "a"}, "missing_field", "driver_ids"),
        ({"driver_ids": [1]}, "missing_field", "request_id"),
        (GOOD | {"debug": True}, "unknown_field", "debug"),
        (GOOD | {"candidates": [1]}, "unknown_field", "candidates"),
        (GOOD | {"request_id": None}, "wrong_type", "request_id"),
        (GOOD | {"request_id": 7}, "wrong_type", "request_id"),
        (GOOD | {"request_id": ""}, "out_of_range", "request_id"),
        (GOOD | {"request_id": "x" * 129}, "out_of_range", "request_id"),
        (GOOD | {"driver_ids": 1001}, "wrong_type", "driver_ids"),
        (GOOD | {"driver_ids": "1001"}, "wrong_type", "driver_ids"),
        (GOOD | {"driver_ids": {"a": 1}}, "wrong_type", "driver_ids"),
        (GOOD | {"driver_ids": []}, "empty_list", "driver_ids"),
        (GOOD | {"driver_ids": [1, 2, 3, 4, 5, 6]}, "too_many_candidates", "driver_ids"),
        (GOOD | {"driver_ids": [1, 1, 1, 1, 1, 1]}, "too_many_candidates", "driver_ids"),
        (GOOD | {"driver_ids": [1, "2"]}, "wrong_type", "driver_ids[1]"),
        (GOOD | {"driver_ids": [True]}, "wrong_type", "driver_ids[0]"),
        (GOOD | {"driver_ids": [1.5]}, "wrong_type", "driver_ids[0]"),
        (GOOD | {"driver_ids": [None]}, "wrong_type", "driver_ids[0]"),
        (GOOD | {"driver_ids": [[1]]}, "wrong_type", "driver_ids[0]"),
        (GOOD | {"driver_ids": [10**30]}, "out_of_range", "driver_ids[0]"),
        ([], "wrong_type", None),
        ("text", "wrong_type", None),
        (None, "wrong_type", None),
        (b"", "not_json", None),
        (b"{", "not_json", None),
        (b"{} {}", "not_json", None),
        (b"\xff\xfe{}", "not_json", None),
        (b'{"request_id": "a", "driver_ids": [NaN]}', "not_json", None),
        (b'{"request_id": "a", "driver_ids": [-Infinity]}', "not_json", None),
        (b'{"request_id": "a", "driver_ids": [' + b"9" * 5000 + b"]}", "not_json", None),
        (b"[" * 200_000, "not_json", None),
        (b'{"a":' * 50_000, "not_json", None),
        (b'{"request_id": "a", "request_id": "b", "driver_ids": [1]}', "duplicate_field", "request_id"),
        (b'{"request_id": "\\ud800", "driver_ids": [1]}', "wrong_type", "request_id"),
    ],
)
def test_bad_bodies_say_what_is_wrong_and_where(body: object, code: str, field: str | None) -> None:
    bad = refusal(body)
    assert (bad.code, bad.field) == (code, field)
    assert bad.status in (400, 413, 422)


@pytest.mark.parametrize(
    ("text", "read"),
    [("1001.0", 1001), ("1e3", 1000), ("-2.50e1", -25), ("0.0", 0), ("-0.0", 0), ("9007199254740993.0", 2**53 + 1)],
)
def test_a_whole_number_is_an_integer_however_it_is_written(text: str, read: int) -> None:
    """So JSON Schema has it: https://json-schema.org/understanding-json-schema/reference/numeric."""
    assert parse_request(b'{"request_id": "a", "driver_ids": [%s]}' % text.encode(), DRIVERS).ids == [read]
    assert parse_request(b'{"request_id": "a", "driver_ids": [1], "top_k": 2.0}', DRIVERS).top_k == 2
    assert refusal(b'{"request_id": "a", "shops": [%s]}' % text.encode(), SHOPS).code == "wrong_type"


@pytest.mark.parametrize(
    "text",
    ["1.5", "9007199254740993.5", "1e-400", "1e400", "9.3e18", "1e99999999999999999999", "0.1e-99999999999999999999"],
)
def test_other_numbers_are_not(text: str) -> None:
    bad = refusal(b'{"request_id": "a", "driver_ids": [%s]}' % text.encode())
    assert (bad.code, bad.field) in {("wrong_type", "driver_ids[0]"), ("out_of_range", "driver_ids[0]")}


def test_text_keys_have_a_length_and_must_be_text() -> None:
    assert refusal({"request_id": "a", "shops": ["x" * 257]}, SHOPS).code == "out_of_range"
    assert refusal({"request_id": "a", "shops": [1]}, SHOPS).code == "wrong_type"
    assert refusal(b'{"request_id": "a", "shops": ["\\udfff"]}', SHOPS).code == "wrong_type"


def test_a_refusal_carries_the_request_id_where_it_can_be_read() -> None:
    assert refusal(GOOD | {"driver_ids": []}).request_id == "uuid-1"
    assert refusal(GOOD | {"request_id": 5}).request_id is None


def test_what_is_wrong_is_named_in_bounded_length() -> None:
    bad = refusal(GOOD | {"x" * 10_000: 1})
    assert len(bad.message) < 300
    assert bad.field is not None
    assert len(bad.field) < 300


NESTED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
NEARLY_GOOD = st.fixed_dictionaries(
    {}, optional={"request_id": NESTED | st.just("a"), "driver_ids": NESTED | st.lists(NESTED), "z": NESTED}
)


@given(st.binary() | (NESTED | NEARLY_GOOD).map(lambda document: json.dumps(document).encode()))
def test_whatever_comes_is_a_request_or_a_refusal_of_the_client(body: bytes) -> None:
    outcome = parsed_or_refused(body)
    if isinstance(outcome, Refusal):
        assert 400 <= outcome.status < 500
        answer = json.loads(refusal_body(outcome))
        assert answer["error"]["code"] == outcome.code
        return
    assert 0 < len(outcome.request_id) <= 128
    assert 0 < len(outcome.ids) <= MOST
    assert all(type(key) is int for key in outcome.ids)


def parsed_or_refused(body: bytes) -> InferenceRequest | Refusal:
    try:
        return parse_request(body, DRIVERS)
    except Refusal as bad:
        return bad


def test_several_join_keys_make_a_list_of_objects() -> None:
    first: dict[str, Any] = {"driver_id": 1, "city": "a"}
    second: dict[str, Any] = {"driver_id": 1, "city": "b"}
    body = {"request_id": "r", "candidates": [first, second, first], "top_k": 2}
    request = parse_request(json.dumps(body).encode(), TRIPS)
    assert request == InferenceRequest("r", [first, second], {"driver_id": (1, 1), "city": ("a", "b")}, 2)
    assert parse_request(json.dumps(TRIPS.example).encode(), TRIPS).ids == TRIPS.example["candidates"]


@pytest.mark.parametrize(
    ("candidate", "code", "field"),
    [
        ('{"driver_id": 1}', "missing_field", "candidates[0].city"),
        ('{"driver_id": 1, "city": "a", "more": 1}', "unknown_field", "candidates[0].more"),
        ('{"driver_id": "1", "city": "a"}', "wrong_type", "candidates[0].driver_id"),
        ('{"driver_id": 1, "city": "a", "city": "b"}', "duplicate_field", "city"),
        ("1", "wrong_type", "candidates[0]"),
    ],
)
def test_bad_candidates_of_several_join_keys(candidate: str, code: str, field: str) -> None:
    refused = refusal(f'{{"request_id": "r", "candidates": [{candidate}]}}'.encode(), TRIPS)
    assert (refused.code, refused.field) == (code, field)


@pytest.mark.parametrize(
    "body",
    [
        b'{"request_id": "a", "driver_ids": [1], "driver_ids": [2]}',
        b'{"request_id": "a", "driver_ids": [1], "driver\\u005fids": [2]}',
        b'{"request_id": "a", "request_id": "b", "driver_ids": [1]}',
        b'{"top_k": 1, "request_id": "a", "driver_ids": [1], "top_k": null}',
        b'{"top_k": null, "request_id": "a", "driver_ids": [1], "top_k": 2}',
    ],
)
def test_a_field_given_twice_is_never_overlooked(body: bytes) -> None:
    assert refusal(body).code == "duplicate_field"


KEYS = st.integers(-(2**63), 2**63 - 1) | st.text() | st.dictionaries(st.text(), st.integers() | st.text(), max_size=3)
SCORES = st.floats(allow_nan=False, allow_infinity=False)


@given(
    st.text(min_size=1),
    KEYS,
    SCORES,
    st.lists(st.tuples(KEYS, st.sampled_from(["unknown", "stale", "null", "no_score"])), max_size=3),
    st.lists(st.tuples(KEYS, st.dictionaries(st.text(), st.sampled_from(["unknown", "stale", "null"]))), max_size=3),
    st.none() | st.lists(st.tuples(KEYS, SCORES), max_size=3),
)
def test_the_bytes_of_a_choice_are_those_of_the_documented_answer(
    request_id: str, key: Any, score: float, left_out: list[Any], passed: list[Any], ranking: list[Any] | None
) -> None:
    answer = Answer(
        request_id=request_id,
        prediction=key,
        score=score,
        error=None,
        model=Model(name="m", version="1"),
        left_out=tuple(LeftOut(id=name, reason=reason) for name, reason in left_out),
        passed_as_nan=tuple(PassedAsNaN(id=name, missing=missing) for name, missing in passed),
        ranking=None if ranking is None else tuple(Ranked(id=name, score=merit) for name, merit in ranking),
    )
    body = choice_body(Choice(request_id, key, score, left_out, passed, ranking, {}), {"name": "m", "version": "1"})
    assert json.loads(body) == answer.model_dump(mode="json")
    assert list(json.loads(body)) == list(Answer.model_fields)
