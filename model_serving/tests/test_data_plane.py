"""The best candidate of each request, against a model that looks at one candidate after the other."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_model import VIEWS, Row, StoredRows, request_of, small_model

from model_serving.online.inference.data_plane import Choice, InferencePlane
from model_serving.online.inference.refusals import Refusal
from model_serving.online.inference.schemas import Key
from twinserve.contract import MissingPolicy
from twinserve.errors import TransientError
from twinserve.features.online_store.feature_reader import SomeKeysUnavailable
from twinserve.missing import REASONS, Status

NOW = 1_700_000_000_000_000
HANDLING = st.sampled_from(["leave_out", "pass_as_nan"])
POLICIES = st.builds(MissingPolicy, unknown=HANDLING, stale=HANDLING, null=HANDLING)
CELL = st.tuples(
    st.sampled_from([-2.0, 0.0, 1.0, 200.0]), st.sampled_from([*[Status.PRESENT] * 4, *(s for s in Status if s)])
)
STORED = st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=8)
COMPLETE = st.lists(st.tuples(*[st.sampled_from([0.0, 1.0, 200.0]).map(lambda v: (v, Status.PRESENT))] * 3), min_size=1)


def rows_of(stored: list[tuple[tuple[float, Status], ...]]) -> dict[Key, Row]:
    return {key: ([v for v, _ in cells], [s for _, s in cells]) for key, cells in enumerate(stored)}


def judged(row: Row, policy: MissingPolicy) -> tuple[float | None, str | None, dict[str, str]]:
    """Score, or why there is none, and what was passed as NaN."""
    values, statuses = row
    for kind in sorted(set(statuses) - {Status.PRESENT}, reverse=True):
        if getattr(policy, REASONS[kind]) == "leave_out":
            return None, REASONS[kind], {}
    score = sum(value for value, status in zip(values, statuses, strict=True) if status == Status.PRESENT)
    if score > 100:
        return None, "no_score", {}
    gravest = {view: max(s for s, v in zip(statuses, VIEWS, strict=True) if v == view) for view in dict.fromkeys(VIEWS)}
    return score, None, {view: REASONS[kind] for view, kind in gravest.items() if kind}


def expected(keys: list[int], top_k: int | None, rows: dict[Any, Row], policy: MissingPolicy, best: str) -> Any:
    found = [(key, *judged(rows[key], policy)) for key in keys]
    left_out = [(key, reason) for key, _, reason, _ in found if reason]
    passed = [(key, lacking) for key, _, reason, lacking in found if lacking and not reason]
    scored = [(key, score) for key, score, _, _ in found if score is not None]
    ranked = sorted(scored, key=lambda each: each[1], reverse=best == "highest")  # of equals the first stays the first
    if not ranked:
        return "no_candidate", left_out
    return *ranked[0], left_out, passed, None if top_k is None else ranked[:top_k]


def told(outcome: Choice | Refusal) -> Any:
    if isinstance(outcome, Refusal):
        return outcome.code, [(entry.id, entry.reason) for entry in outcome.left_out]
    return outcome.prediction, outcome.score, outcome.left_out, outcome.passed_as_nan, outcome.ranking


@pytest.mark.parametrize("best", ["highest", "lowest"])
@settings(deadline=None)
@given(stored=STORED | COMPLETE, policy=POLICIES, data=st.data())
def test_each_request_gets_the_best_of_its_own_candidates(
    stored: list[Any], policy: MissingPolicy, best: str, data: st.DataObject
) -> None:
    rows = rows_of(stored)
    some_keys = st.lists(st.sampled_from(list(range(len(stored)))), min_size=1, unique=True)
    asked = data.draw(st.lists(st.tuples(some_keys, st.none() | st.integers(1, 4)), min_size=1, max_size=4))
    requests = [request_of(f"r{number}", keys, top_k) for number, (keys, top_k) in enumerate(asked)]
    reader = StoredRows(rows)
    plane = InferencePlane(small_model(policy, best), reader, lambda: NOW, lambda *_: None)
    outcomes = asyncio.run(plane.answer(requests))
    assert [told(outcome) for outcome in outcomes] == [
        expected(keys, top_k, rows, policy, best) for keys, top_k in asked
    ]
    assert [o.request_id for o in outcomes if isinstance(o, Choice)] == [
        r.request_id for r, o in zip(requests, outcomes, strict=True) if isinstance(o, Choice)
    ]
    assert reader.asked == [([key for keys, _ in asked for key in keys], NOW)], "one read at one moment"


GOOD: dict[Key, Row] = {1: ([1.0] * 3, [Status.PRESENT] * 3), 2: ([2.0] * 3, [Status.PRESENT] * 3)}
LACKING: dict[Key, Row] = {**GOOD, 3: ([0.0] * 3, [Status.UNKNOWN] * 3)}


class Stages:
    """What a plane told of its stages."""

    def __init__(self) -> None:
        self.noted: list[tuple[str, float]] = []

    def __call__(self, stage: str, seconds: float) -> None:
        self.noted.append((stage, seconds))


def a_plane(reader: StoredRows, stages: Stages | None = None, **policy: str) -> InferencePlane:
    model = small_model(MissingPolicy.model_validate(policy))
    return InferencePlane(model, reader, lambda: NOW, stages or Stages())


async def test_it_names_its_model_and_lets_go_of_the_store() -> None:
    reader = StoredRows(GOOD)
    plane = a_plane(reader)
    assert (plane.serves.name, plane.serves.version) == ("small", "7")
    await plane.close()
    assert reader.closed


async def test_none_that_can_be_scored_is_a_refusal_in_words() -> None:
    (refusal,) = await a_plane(StoredRows(LACKING)).answer([request_of("r", [3])])
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.message) == ("no_candidate", "none of the candidates could be scored")
    assert refusal.retry_after is None


async def test_the_seconds_of_each_stage_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([10.0, 11.0, 13.0, 17.0])
    monkeypatch.setattr("model_serving.online.inference.data_plane.time.perf_counter", lambda: next(ticks))
    stages = Stages()
    (choice,) = await a_plane(StoredRows(GOOD), stages).answer([request_of("r", [1])])
    assert isinstance(choice, Choice)
    assert choice.seconds == {"read": 1.0, "score": 2.0, "rank": 4.0}
    assert stages.noted == [("read", 1.0), ("score", 2.0), ("rank", 4.0)]


@pytest.mark.parametrize("fault", [TransientError("down", fix="wait"), SomeKeysUnavailable("a part", fix="wait")])
async def test_a_store_that_does_not_answer_is_a_refusal(fault: Exception, caplog: pytest.LogCaptureFixture) -> None:
    reader, stages = StoredRows(GOOD), Stages()
    reader.fault = fault
    plane = a_plane(reader, stages)
    with caplog.at_level(logging.WARNING):
        (refusal,) = await plane.answer([request_of("r", [1])])
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.message) == ("feature_store_unavailable", "the feature store does not answer")
    assert refusal.retry_after == 1
    assert [stage for stage, _ in stages.noted] == ["read"]
    (line,) = caplog.records
    assert line.getMessage().startswith(f"the feature store does not answer: {str(fault)[:4]}")
    assert line.levelno == logging.WARNING


async def test_where_only_some_keys_fail_requests_are_told_apart() -> None:
    """A store that is down is down for all; of one that fails in part nobody can say yet."""
    reader = StoredRows(GOOD)
    plane = a_plane(reader)
    both = [request_of("a", [1]), request_of("b", [2])]
    reader.fault = SomeKeysUnavailable("a part", fix="wait")
    with pytest.raises(SomeKeysUnavailable):
        await plane.answer(both)
    reader.fault = TransientError("down", fix="wait")
    assert [told(refusal) for refusal in await plane.answer(both)] == [("feature_store_unavailable", [])] * 2
    reader.fault = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        await plane.answer(both)


async def test_features_that_rows_are_written_without_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        (choice,) = await a_plane(StoredRows(LACKING, ("stats:f0", "weather:f1"))).answer([request_of("r", [1, 3])])
    assert isinstance(choice, Choice)
    assert choice.prediction == 1
    (line,) = caplog.records
    assert line.getMessage().startswith(
        "candidates are unknown, since the definitions have changed: rows are written without stats:f0, weather:f1"
    )
    assert "Materialize, if the feature is new" in line.getMessage()
    assert line.levelno == logging.WARNING


async def test_the_first_of_equals_is_the_best_whether_or_not_others_are_left_out() -> None:
    rows: dict[Key, Row] = {key: ([1.0] * 3, [Status.PRESENT] * 3) for key in range(40)}
    rows |= {99: ([0.0] * 3, [Status.UNKNOWN] * 3)}
    for keys in (list(range(40)), [99, *range(40)]):
        (choice,) = await a_plane(StoredRows(rows)).answer([request_of("r", keys, 40)])
        assert isinstance(choice, Choice)
        assert choice.prediction == 0
        assert choice.ranking == [(key, 3.0) for key in range(40)]
        assert math.isclose(choice.score, 3.0)
